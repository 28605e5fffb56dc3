"""Named sizes of the network. No torch."""

from model.sizes import Preset, SegmentationSizes

TINY = Preset(
    segmentation=SegmentationSizes(
        image_side_px=128, pretrain_side_px=128, encoder_width=96, encoder_depth=4, encoder_heads=4,
        encoder_mlp_ratio=2.0, window_side=4, global_blocks=(1, 3), width=96, decoder_depth=2, decoder_heads=8,
        decoder_mlp_width=192, quality_depth=3, quality_width=64, num_semantic=64,
    ),
    text={
        "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 4, 4]},
    },
    vision={
        "depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "patch_size": 14,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112, "out_hidden_size": 96,
        "fullatt_block_indexes": [1],
    },
    vocabulary_size=1024,
    min_pixels=112 * 112,
    learning_rate=1e-3,
    warmup_steps=20,
    threads=1,  # measured: at these sizes a second thread is 2 to 10 times slower on a busy machine
)  # fmt: skip

SMALL = Preset(
    segmentation=SegmentationSizes(
        image_side_px=256, pretrain_side_px=1024, encoder_width=384, encoder_depth=12, encoder_heads=6,
        encoder_mlp_ratio=4.0, window_side=14, global_blocks=(2, 5, 8, 11), width=256, decoder_depth=2,
        decoder_heads=8, decoder_mlp_width=1024, quality_depth=3, quality_width=256, num_semantic=512,
    ),
    text={
        "hidden_size": 640, "intermediate_size": 1792, "num_hidden_layers": 10, "num_attention_heads": 10,
        "num_key_value_heads": 2, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e5, "mrope_section": [8, 12, 12]},
    },
    vision={
        "depth": 8, "hidden_size": 384, "intermediate_size": 1024, "num_heads": 6, "patch_size": 14,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112, "out_hidden_size": 640,
        "fullatt_block_indexes": [3, 7],
    },
    vocabulary_size=8192,
    min_pixels=224 * 224,
    learning_rate=3e-4,
    warmup_steps=200,
)  # fmt: skip

PUBLISHED = Preset(
    segmentation=SegmentationSizes(
        image_side_px=256, pretrain_side_px=1024, encoder_width=768, encoder_depth=12, encoder_heads=12,
        encoder_mlp_ratio=4.0, window_side=14, global_blocks=(2, 5, 8, 11), width=768, decoder_depth=2,
        decoder_heads=8, decoder_mlp_width=2048, quality_depth=3, quality_width=256, num_semantic=512,
    ),
    text={
        "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 128000, "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    },
    vision={
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112, "out_hidden_size": 3584,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    vocabulary_size=151665,
    min_pixels=56 * 56,
    learning_rate=1e-5,
    warmup_steps=500,
)  # fmt: skip

PRESETS: dict[str, Preset] = {"tiny": TINY, "small": SMALL, "biascarevl-7b": PUBLISHED}
"""``tiny`` trains on two processor cores in a minute, ``small`` holds about 100 million parameters,
``biascarevl-7b`` has the published shape. The rates and warm-ups of the first two are scaled from the published
ones (1e-5 and 500 steps, for a pretrained model of 7 billion parameters)."""
