"""The bias-aware vision-language model: encoded, built, trained with DeepSpeed, saved, and asked for predictions."""
