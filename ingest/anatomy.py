"""The region a picture shows: one vocabulary for organs, regions and skin sites."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from ingest.token_rules import Lexicon, Rule, normalise, rule


class Anatomy(StrEnum):
    """Regions of the body, as fine as the sources declare them (skin sites: HAM10000's)."""

    HEAD = "head"
    BRAIN = "brain"
    EYE = "eye"
    EAR = "ear"
    FACE = "face"
    SCALP = "scalp"
    ORAL = "oral"
    NECK = "neck"
    CHEST = "chest"
    HEART = "heart"
    BREAST = "breast"
    ABDOMEN = "abdomen"
    GASTROINTESTINAL = "gastrointestinal"
    PELVIS = "pelvis"
    GENITAL = "genital"
    SPINE = "spine"
    BACK = "back"
    TRUNK = "trunk"
    UPPER_LIMB = "upper_limb"
    HAND = "hand"
    LOWER_LIMB = "lower_limb"
    FOOT = "foot"
    ACRAL = "acral"
    SKIN = "skin"
    VESSEL = "vessel"
    CELL = "cell"
    WHOLE_BODY = "whole_body"
    OTHER = "other"
    UNKNOWN = "unknown"


A = Anatomy

_RULES: tuple[Rule[Anatomy], ...] = (
    rule(None, r"unknown", r"unspecified", r"background", r"(?:gastric|uterine) fundus(?=\w)"),
    rule(A.OTHER, r"others?"),
    rule(A.WHOLE_BODY, r"whole[- ]body", r"full[- ]body"),
    rule(A.ACRAL, r"acral", r"nails?", r"nail beds?"),
    rule(A.SPINE, r"spine", r"spinal(?: cord| canal)?", r"vertebra[el]?\w*", r"(?:lumbar|cervical|thoracic) spine",
         r"inter-?vertebral discs?", r"lumbar", r"sacrum", r"sacral"),
    rule(A.LOWER_LIMB, r"lower (?:limbs?|extremit(?:y|ies)|legs?)", r"legs?", r"knees?", r"thighs?",
         r"femur", r"femoral",
         r"tibia\w*", r"fibula\w*", r"shins?", r"cal(?:f|ves)", r"patella\w*", r"hips?", r"menisc\w+"),
    rule(A.FOOT, r"f(?:oo|ee)t", r"ankles?", r"toes?", r"heels?", r"plantar", r"calcane\w+", r"soles?"),
    rule(A.UPPER_LIMB, r"upper (?:limbs?|extremit(?:y|ies)|arms?)", r"arms?", r"forearms?", r"elbows?", r"shoulders?",
         r"humer(?:us|al)", r"radius", r"ulna\w*", r"clavic\w+", r"scapula\w*"),
    rule(A.HAND, r"hands?", r"wrists?", r"fingers?", r"thumbs?", r"palm(?:s|ar)?", r"metacarp\w+"),
    rule(A.SCALP, r"scalp"),
    rule(A.FACE, r"fac(?:e|ial)", r"nose", r"nasal", r"cheeks?", r"forehead", r"chin", r"maxill\w+", r"sinus(?:es)?"),
    rule(A.ORAL, r"oral", r"mouth", r"t(?:oo|ee)th", r"dental", r"tongue", r"lips?", r"mandib\w+", r"jaws?",
         r"gingiva\w*"),
    rule(A.EYE, r"eyes?", r"retinas?", r"retinal", r"optic (?:dis[ck]|cup|nerves?)", r"ocular", r"corneas?",
         r"corneal",
         r"macula\w*", r"ophthalm\w+", r"orbit(?:s|al)?", r"fovea\w*", r"iris"),
    rule(A.EAR, r"ears?", r"auric(?:le|ular)", r"tympan\w+", r"cochlea\w*"),
    rule(A.BRAIN, r"brains?", r"cerebr\w+", r"cerebell\w+", r"intracranial", r"hippocamp\w+", r"gliomas?",
         r"brain ?stem",
         r"ventricular system", r"pituitary", r"thalam\w+", r"frontal lobes?", r"temporal lobes?", r"parietal lobes?",
         r"occipital lobes?", r"stroke lesions?", r"(?:edema|enhancing|necrotic)[- ]tumou?r(?: core)?"),
    rule(A.HEAD, r"heads?", r"skulls?", r"cranium", r"cranial"),
    rule(A.NECK, r"necks?", r"thyroids?", r"larynx", r"pharynx", r"parotid\w*", r"carotids?", r"cervical(?! spine)"),
    rule(A.HEART, r"hearts?", r"cardiac", r"myocard\w+", r"coronar(?:y|ies)", r"(?:left|right) (?:ventric|atri)\w+",
         r"atri(?:um|a|al)", r"ventricles?", r"pericardi\w+", r"mitral", r"aortic valves?"),
    rule(A.BREAST, r"breasts?", r"mammary"),
    rule(A.GASTROINTESTINAL, r"gastro-?intestinal(?: tract)?", r"colon", r"colonic", r"rectum", r"rectal", r"polyps?",
         r"duoden\w+", r"(?:small |large )?bowels?", r"intestin\w+", r"jejun\w+", r"ile(?:um|al)", r"c(?:a)?ecum",
         r"appendix", r"sigmoid"),
    rule(A.CHEST, r"chests?", r"thora(?:x|cic)", r"lungs?", r"pulmonary", r"ribs?", r"mediastin\w+", r"pleura\w*",
         r"trachea\w*", r"bronch\w+", r"o?esophag\w+", r"sternum", r"diaphragm\w*", r"lobes?"),
    rule(A.PELVIS, r"pelvi[sc]", r"pelvic cavity", r"bladder", r"prostat\w+", r"uter(?:us|ine)", r"ovar(?:y|ies|ian)",
         r"cervix", r"endometri\w+", r"ischi\w+", r"pubi[sc]"),
    rule(A.GENITAL, r"genital\w*", r"penis", r"penile", r"vulva\w*", r"scrot\w+", r"test(?:is|es|icular)",
         r"vagina\w*"),
    rule(A.ABDOMEN, r"abd", r"abdom(?:en|inal)", r"livers?", r"hepatic", r"spleens?", r"splenic",
         r"kidneys?", r"renal",
         r"gall ?bladder", r"stomachs?", r"gastric", r"pancreas", r"pancreatic", r"adrenals?(?: glands?)?",
         r"biliary",
         r"inferior vena cava", r"portal veins?", r"bile ducts?", r"ureters?", r"postcava", r"periton\w+"),
    rule(A.BACK, r"backs?"),
    rule(A.TRUNK, r"trunk", r"torso", r"flanks?"),
    rule(A.SKIN, r"skin", r"cutaneous", r"derm(?:al|is)", r"melanomas?", r"n(?:a)?ev(?:us|i)", r"skin lesions?"),
    rule(A.VESSEL, r"aortas?", r"arter(?:y|ies|ial)", r"veins?", r"vessels?", r"vascular"),
    rule(A.CELL, r"cells?", r"nucle(?:us|i|ar)", r"cellular"),
)  # fmt: skip
_LEXICON = Lexicon(_RULES)


def anatomy_of(text: str) -> Anatomy:
    """The region a text names first; ``unknown`` when it names none."""
    return next(iter(_LEXICON.meanings_in(normalise(text))), Anatomy.UNKNOWN)


def anatomy_of_structures(names: Iterable[str]) -> Anatomy:
    """The region most of the named structures lie in; ``unknown`` when no region holds more than half.

    Structures that name no region (and vessels, which run everywhere) do not vote.
    """
    votes = Counter(anatomy_of(name) for name in names)
    for silent in (Anatomy.UNKNOWN, Anatomy.VESSEL):
        votes.pop(silent, None)
    (winner, num_votes), *_ = votes.most_common(1) or [(Anatomy.UNKNOWN, 1)]
    return winner if 2 * num_votes > votes.total() else Anatomy.UNKNOWN
