import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.anatomy import Anatomy, anatomy_of
from ingest.modality import (
    CODES,
    DECOYS,
    HINTS,
    NAMED,
    Modality,
    modalities_in,
    modality_of,
    modality_taken_for_granted,
)
from ingest.token_rules import Lexicon, normalise

# Written by hand for this table; none is taken from a data set.
CAPTIONS = {
    Modality.COMPUTED_TOMOGRAPHY: [
        "Axial CT scan of the abdomen shows a cystic mass in the pancreatic tail.",
        "Contrast-enhanced computed tomography of the thorax.",
        "Coronal reformatted computerized tomography.",
        "CT angiography of the aorta demonstrating a type B dissection.",
        "Computed tomography angiogram with an occluded left renal artery.",
        "CTPA showing a saddle embolus.",
        "Cone-beam CT of the mandible.",
        "CBCT section through tooth 36.",
        "HRCT with honeycombing at both bases.",
        "CAT scan of the head without contrast.",
        "ct scan of chest, lung window",
        "CT colonography with a 9 mm polyp.",
        "MDCT showing free air under the diaphragm.",
        "Micro-CT of a rat femur.",
        "ECG-gated CT of the heart.",
        "X-ray computed tomography of the temporal bone.",
        "ct_BTCV",
        "NCCT brain: hyperdense middle cerebral artery sign.",
        "Radiograph-guided biopsy was declined; CT shows the lesion.",
    ],
    Modality.MAGNETIC_RESONANCE: [
        "Sagittal T2-weighted MRI of the lumbar spine.",
        "MRI of the brain with gadolinium.",
        "Magnetic resonance imaging of the knee.",
        "MR angiography of the circle of Willis.",
        "MRCP showing a dilated common bile duct.",
        "Axial FLAIR hyperintensity in both thalami.",
        "T1-weighted image after contrast.",
        "Cardiac magnetic resonance, short-axis view.",
        "fMRI activation during finger tapping.",
        "Diffusion-weighted image with restricted diffusion.",
        "Cine MR of the left ventricle.",
        "MR arthrography of the shoulder.",
        "mr_t1",
        "Axial MR.",
        "MR elastography of the liver.",
    ],
    Modality.X_RAY: [
        "Chest X-ray showing a right-sided pneumothorax.",
        "Plain radiograph of the wrist with a distal radius fracture.",
        "Posteroanterior chest radiograph.",
        "xray of left hand",
        "Orthopantomogram with an impacted molar.",
        "CXR on admission.",
        "Panoramic radiograph of the jaws.",
        "Periapical radiograph of the upper incisors.",
        "Abdominal plain film with dilated loops.",
        "x_ray",
        "Lateral roentgenogram of the skull.",
        "Intravenous urography with a filling defect.",
    ],
    Modality.ULTRASOUND: [
        "Abdominal ultrasound showing gallstones.",
        "Transvaginal sonogram of an ectopic pregnancy.",
        "Transthoracic echocardiogram with a pericardial effusion.",
        "Endoscopic ultrasound of a submucosal gastric lesion.",
        "Colour Doppler of the testis.",
        "Thyroid US with a hypoechoic nodule.",
        "US image of the appendix.",
        "Intravascular ultrasound of the left main stem.",
        "TEE showing a vegetation.",
        "Ultrasonography of the carotid artery.",
        "us",
        "B-mode picture of the liver.",
    ],
    Modality.MAMMOGRAPHY: [
        "Mammogram with clustered microcalcifications.",
        "Screening mammography, left breast.",
        "Digital breast tomosynthesis slice.",
    ],
    Modality.FLUOROSCOPY: [
        "Barium swallow with a bird-beak narrowing.",
        "Fluoroscopic spot film.",
        "Voiding cystourethrogram with reflux.",
        "ERCP showing a stricture of the common bile duct.",
        "Upper GI series with a duodenal web.",
        "Videofluoroscopy of swallowing.",
    ],
    Modality.ANGIOGRAPHY: [
        "Coronary angiogram with a proximal stenosis.",
        "Selective renal arteriography.",
        "Cerebral angiography before coiling.",
        "Venogram of the left leg.",
    ],
    Modality.DSA: [
        "Digital subtraction angiography of the carotid artery.",
        "DSA, lateral projection, aneurysm of the basilar tip.",
    ],
    Modality.PET: [
        "PET scan with increased uptake in the mediastinum.",
        "Positron emission tomography of the brain.",
        "FDG uptake in a single node.",
        "FDG-PET, coronal section.",
    ],
    Modality.PET_CT: [
        "PET/CT showing avid lymph nodes.",
        "FDG PET-CT after two cycles.",
        "Positron emission tomography/computed tomography of the trunk.",
        "Fused PET and CT, axial plane.",
    ],
    Modality.PET_MRI: ["PET/MRI of the pelvis.", "PET-MR of the prostate."],
    Modality.SCINTIGRAPHY: [
        "Bone scan with multiple metastases.",
        "Thyroid scintigraphy with a cold nodule.",
        "DMSA scan with a scar of the upper pole.",
        "Technetium uptake in the parathyroid.",
    ],
    Modality.SPECT: [
        "SPECT of the myocardium at rest.",
        "SPECT/CT of the parathyroid.",
        "Single-photon emission computed tomography of the brain.",
        "Tc-99m sestamibi SPECT.",
    ],
    Modality.FUNDUS_PHOTOGRAPHY: [
        "Colour fundus photograph with drusen.",
        "Fundus autofluorescence of the left eye.",
        "Fundus image of a diabetic patient.",
        "Fluorescein angiography, late phase.",
        "Fundoscopy: papilledema.",
        "Retinal photograph of the posterior pole.",
    ],
    Modality.OPTICAL_COHERENCE_TOMOGRAPHY: [
        "Optical coherence tomography of the macula.",
        "SD-OCT showing subretinal fluid.",
        "OCT with a full-thickness macular hole.",
        "OCTA of the superficial plexus.",
        "Optical coherence tomography angiography in uveitis.",
    ],
    Modality.DERMOSCOPY: [
        "Dermoscopy of a pigmented lesion.",
        "Dermatoscopic view of a seborrheic keratosis.",
        "Trichoscopy with exclamation-mark hairs.",
    ],
    Modality.ENDOSCOPY: [
        "Upper endoscopy showing varices.",
        "Colonoscopy with a sessile polyp.",
        "Bronchoscopic view of the carina.",
        "Laparoscopic view of the gallbladder.",
        "Capsule endoscopy: angioectasia.",
        "Cystoscopy revealed a papillary tumour.",
        "Esophagogastroduodenoscopy with an ulcer.",
    ],
    Modality.MICROSCOPY: [
        "Photomicrograph, hematoxylin and eosin, x200.",
        "H&E stained section of the colon.",
        "Transmission electron microscopy of a podocyte.",
        "SEM image of the enamel surface.",
        "TEM micrograph of the mitochondria.",
        "Immunohistochemistry for CD20.",
        "Histopathology of the resected node.",
        "Gram stain of the pus.",
        "Peripheral blood smear with blasts.",
        "Confocal microscopy of stained neurons.",
        "Microscopic appearance of the tumour.",
    ],
    Modality.DIGITAL_PHOTOGRAPHY: [
        "Clinical photograph of the right foot.",
        "Slit lamp photograph of the cornea.",
        "Slit-lamp examination with keratic precipitates.",
        "Gross specimen of the kidney.",
        "Intraoral view before treatment.",
        "Intraoperative photograph of the mesh.",
    ],
    Modality.INFRARED_REFLECTANCE: [
        "Infrared reflectance image of the macula.",
        "Near-infrared reflectance, right eye.",
    ],
    Modality.PHOTOACOUSTIC: ["Photoacoustic imaging of a breast tumour.", "Optoacoustic tomography of the finger."],
    Modality.ELASTOGRAPHY: ["Shear-wave elastography of the liver.", "Ultrasound elastography of a nodule."],
    Modality.OTHER: [
        "ECG with ST elevation in leads II and III.",
        "Twelve-lead electrocardiogram on arrival.",
        "Flow chart of patient selection.",
        "Kaplan-Meier curve of overall survival.",
        "Bar chart of incidence by year.",
        "EEG with generalised spikes.",
        "Western blot of p53.",
        "Pedigree of the family.",
        "Schematic drawing of the procedure.",
        "X-ray diffraction pattern of the crystal.",
        "Others",
    ],
    Modality.UNKNOWN: [
        "",
        "Fracture of the femoral neck.",
        "The digestive system of a section of the population.",
        "Follow-up in October 2019.",
        "Repetitive strain of the tendon.",
        "Lateral aspect of the duct.",
        "Mean and SEM of three experiments.",
        "A tem of the item is missing.",
        "He told us about the pain.",
        "Prevalence in the US population.",
        "Mr. Smith was admitted.",
        "mr. jones has a cough",
        "The patient owns a pet.",
        "Intact structures; direct impact was excluded.",
        "Severe MR with a flail leaflet.",
        "PCR Ct value of 31.",
        "Yale University, New Haven, CT",
        "Embedded in OCT compound.",
        "A mass in the fundus of the stomach.",
        "Microscopic hematuria was found.",
        "What is seen in this image?",
        "Active doctors protect octogenarians.",
        "Petechiae on both legs.",
        "Ultrasound-guided biopsy was done.",
        "Donor-specific antibody DSA titer rose.",
    ],
}  # fmt: skip
ROWS = [(caption, modality) for modality, captions in CAPTIONS.items() for caption in captions]


@pytest.mark.parametrize(("caption", "expected"), ROWS)
def test_the_modality_of_a_caption(caption, expected):
    assert modality_of(caption) is expected


def test_the_table_is_large_and_covers_the_vocabulary():
    assert len(ROWS) >= 150
    assert set(CAPTIONS) == set(Modality)


def test_upper_and_title_case_do_not_matter_for_full_names():
    assert modality_of("COMPUTED TOMOGRAPHY") is modality_of("Computed Tomography")
    assert modality_of("chest X–RAY") is Modality.X_RAY  # an en dash


LEXICONS = (Lexicon(DECOYS + NAMED), Lexicon(DECOYS + HINTS))


def all_rules_one_by_one(text, rules):
    """What the lexicon does, without its index."""
    found = []
    for each in rules:
        found += [(match.start(), each.meaning) for match in each.pattern.finditer(text) if each.meaning is not None]
        text = each.pattern.sub(lambda match: "\x00" * len(match.group()), text)
    return list(dict.fromkeys(meaning for _, meaning in sorted(found, key=lambda mention: mention[0])))


@given(st.lists(st.sampled_from(sorted({word for text, _ in ROWS for word in text.split()})), max_size=12))
def test_the_index_passes_over_no_rule_that_matches(words):
    text = normalise(" ".join(words))
    for lexicon, rules in zip(LEXICONS, (DECOYS + NAMED, DECOYS + HINTS), strict=True):
        for variant in (text, text.upper(), text.title()):
            assert lexicon.meanings_in(variant) == all_rules_one_by_one(variant, rules)


def test_a_question_that_asks_for_the_modality_takes_none_for_granted():
    assert modality_taken_for_granted("Is there a mass in this CT of the chest?") is Modality.COMPUTED_TOMOGRAPHY
    for question in ("Is this an MRI?", "Was the image taken by ultrasound?", "Is it CT or MRI?", "What is this?"):
        assert modality_taken_for_granted(question) is Modality.UNKNOWN


def test_what_is_named_first_wins_and_the_rest_is_listed():
    assert modalities_in("Radiograph and MRI of the hip") == (Modality.X_RAY, Modality.MAGNETIC_RESONANCE)


def test_codes_name_vocabulary_members_and_are_found_whole():
    assert all(modality_of(code) is meaning for code, meaning in CODES.items())


@given(st.text())
def test_any_text_has_a_modality_and_an_anatomy(text):
    assert modality_of(text) in set(Modality)
    assert anatomy_of(text) in set(Anatomy)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1), st.text(alphabet="abcdefgh", min_size=1))
def test_a_token_inside_a_longer_word_never_counts(before, after):
    assert Modality.COMPUTED_TOMOGRAPHY not in modalities_in(f"x{before}ct{after}x was seen")
