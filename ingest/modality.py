"""How a picture was made: the 22 modalities, and the rules that find one in a text.

Declared codes first ("ct", "US", "mr_t1"); then named techniques; then hints (a stain, a tracer, a sequence)
where nothing is named. Within a tier the first mention wins, for captions name their own picture first.
Rules see whole words only; specific ones stand above general ones and take their words with them
(PET/CT, PET, CT). What only looks like a modality (fracture, "Mr. Smith", PCR Ct values, "US population")
never matches.
"""

import re
from enum import StrEnum
from functools import lru_cache

from ingest.token_rules import Lexicon, Rule, normalise, rule


class Modality(StrEnum):
    """Fixed vocabulary (DESIGN section 3)."""

    COMPUTED_TOMOGRAPHY = "computed_tomography"
    MAGNETIC_RESONANCE = "magnetic_resonance"
    X_RAY = "x_ray"
    ULTRASOUND = "ultrasound"
    MAMMOGRAPHY = "mammography"
    FLUOROSCOPY = "fluoroscopy"
    ANGIOGRAPHY = "angiography"
    DSA = "dsa"
    PET = "pet"
    PET_CT = "pet_ct"
    PET_MRI = "pet_mri"
    SCINTIGRAPHY = "scintigraphy"
    SPECT = "spect"
    FUNDUS_PHOTOGRAPHY = "fundus_photography"
    OPTICAL_COHERENCE_TOMOGRAPHY = "optical_coherence_tomography"
    DERMOSCOPY = "dermoscopy"
    ENDOSCOPY = "endoscopy"
    MICROSCOPY = "microscopy"
    DIGITAL_PHOTOGRAPHY = "digital_photography"
    INFRARED_REFLECTANCE = "infrared_reflectance"
    PHOTOACOUSTIC = "photoacoustic"
    ELASTOGRAPHY = "elastography"
    OTHER = "other"
    UNKNOWN = "unknown"


M = Modality

# A text that is nothing but one of these: declared codes of DICOM (0008,0060) and of IMed-361M.
CODES: dict[str, Modality] = {
    "ct": M.COMPUTED_TOMOGRAPHY,
    **dict.fromkeys(("mr", "t1", "t1w", "t1c", "t1ce", "t1gd", "t2", "t2w", "flair", "dwi", "adc", "pd"),
                    M.MAGNETIC_RESONANCE),
    **dict.fromkeys(("cr", "dx", "dr", "xr", "px", "xray", "x ray"), M.X_RAY),
    **dict.fromkeys(("us", "ivus"), M.ULTRASOUND),
    "mg": M.MAMMOGRAPHY, "rf": M.FLUOROSCOPY, "xa": M.ANGIOGRAPHY, "dsa": M.DSA, "pt": M.PET, "pet": M.PET,
    "nm": M.SCINTIGRAPHY, "st": M.SPECT, "spect": M.SPECT,
    **dict.fromkeys(("op", "cfp", "fundus"), M.FUNDUS_PHOTOGRAPHY),
    **dict.fromkeys(("opt", "oct", "octa"), M.OPTICAL_COHERENCE_TOMOGRAPHY),
    "es": M.ENDOSCOPY,
    **dict.fromkeys(("sm", "gm", "sem", "tem", "pathology", "histology"), M.MICROSCOPY),
    **dict.fromkeys(("xc", "photo", "photography"), M.DIGITAL_PHOTOGRAPHY),
    **dict.fromkeys(("ir", "nir"), M.INFRARED_REFLECTANCE), "pa": M.PHOTOACOUSTIC,
    **dict.fromkeys(("other", "others", "ecg", "hd", "eeg", "ot"), M.OTHER),
}  # fmt: skip

_PICTURE = r"(?:images?|imaging|scans?|pictures?|photos?|views?|frames?|slices?|micrographs?)"
_SEEN = (
    rf"(?:{_PICTURE}|appearances?|findings?|examinations?|sections?|evaluations?|features?|photographs?"
    r"|stills?|fields?|specimens?|stud(?:y|ies)|shows?|showed|showing|reveal(?:s|ed|ing)?|demonstrat\w+)"
)
_MR_WORD = r"(?:MRI|MR|magnetic resonance(?: imaging)?)"
_CT_WORD = r"(?:CT|computed tomography|computeri[sz]ed tomography)"
_PET_WORD = r"(?:PET|positron emission tomography)"
_JOIN = r"\s*(?:/|-|\+|&|\band\b)?\s*"
_GUIDE = r"(?:CT|MRI?|US|EUS|PET|ultraso\w+|sonograph\w+|echo\w*|fluoroscop\w+|x-?ray|endoscop\w+|radiograph\w*)"

# Phrases that mean no picture of that kind, whatever words they hold.
DECOYS: tuple[Rule[Modality], ...] = (
    rule(None, rf"{_GUIDE}[- ]guid(?:ed|ance)", r"(?:ECG|EKG|electrocardiogra\w+)[- ](?:gated|gating|triggered)"),
    rule(None, r"Ct (?:values?|thresholds?|cut-?offs?)", r"cycle threshold(?: \(Ct\))?"),
    rule(None, r"(?:Haven|Hartford|Stamford|Bridgeport|Farmington|Connecticut),? CT", r"CT,? (?:USA|0\d{4})",
         exact_case=True),
    rule(None, r"(?i:trace|mild|moderate|severe|significant|trivial) MR(?! (?:image|imaging|scan|angio))",
         r"MR\. (?=[A-Z])", exact_case=True),
    rule(None, r"OCT[- ](?:compound|medium|embedded|embedding|\d{1,4}\b)", r"\d{1,2}[- ]OCT(?=[- ,]+\d)",
         exact_case=True),
    rule(None, r"PET (?:bottles?|films?|fib(?:er|re)s?|membranes?|foils?|plastics?|sutures?|dogs?|cats?|owners?)"),
    rule(None, r"microscopic(?:ally)? (?:ha?ematuria|colitis|polyangiitis|residual|disease|invasion)"),
    rule(None, r"(?:donor[- ]specific antibod(?:y|ies) )?\(?DSA\)?[- ](?:titers?|levels?|positiv\w+|negativ\w+)"),
    rule(None, r"ultrasonic scal\w+"),
)  # fmt: skip

# Techniques by name, specific above general.
NAMED: tuple[Rule[Modality], ...] = (
    rule(M.OTHER, r"x-?ray (?:diffraction|crystallograph\w+|photoelectron|fluorescence|scattering|absorption)",
         r"crystal structure", r"energy[- ]dispersive x-?ray", r"laser Doppler flowmetry",
         r"electrical impedance tomography", r"EEG", r"electroencephalogra\w+", r"EKG", r"ECGs?", r"\w*lead ECG",
         r"electrocardiogra(?:m|ms|phy|phic)", r"electromyogra\w+", r"polysomnogra\w+", r"audiogra\w+",
         r"flow[- ]?(?:chart|diagram)s?", r"(?:bar|pie|line|box|scatter|forest|funnel|volcano|violin)[- ]?"
         r"(?:charts?|graphs?|plots?)", r"charts?", r"Kaplan[- ]Meier", r"ROC curves?", r"survival curves?",
         r"schematics?", r"schematic \w+", r"diagrams?", r"illustrations?", r"cartoon", r"pedigrees?",
         r"histograms?", r"heat ?maps?", r"(?:western|northern|southern|immuno)[- ]?blots?(?:ting)?",
         r"gel electrophoresis", r"chromatogra(?:m|ms|phy)", r"flow cytometry", r"mass spectr\w+", r"thermogra\w+",
         r"visual fields?(?: tests?)?", r"perimetry", r"corneal topograph\w+", r"phylogenetic trees?", r"timelines?",
         r"spirometr\w+", r"karyotyp\w+", r"infrared thermal \w+", r"magnetoencephalogra\w+"),
    rule(M.PHOTOACOUSTIC, r"(?:photo|opto)-?acoustics?(?: (?:imaging|tomography|microscopy|ultrasound))?"),
    rule(M.MAGNETIC_RESONANCE, rf"{_MR_WORD} elastogra\w+"),
    rule(M.ELASTOGRAPHY, r"(?:ultraso\w+ |US |sono-?|transient |strain |shear[- ]wave )?elasto-?(?:sono)?gra\w+",
         r"fibroscan", r"shear[- ]wave imaging"),
    rule(M.PET_CT, rf"(?:FDG[- ])?{_PET_WORD}{_JOIN}{_CT_WORD}", rf"{_CT_WORD}\s*(?:/|-|\+|&|\band\b)\s*{_PET_WORD}"),
    rule(M.PET_MRI, rf"{_PET_WORD}{_JOIN}{_MR_WORD}", rf"{_MR_WORD}\s*(?:/|-|\+|&|\band\b)\s*{_PET_WORD}"),
    rule(M.SPECT, rf"SPECT{_JOIN}{_CT_WORD}", r"SPECT", r"single[- ]photon emission(?: computed)? tomography"),
    rule(M.PET, r"positron emission tomogra\w+", rf"pet[- ]{_PICTURE}"),
    rule(M.PET, r"(?:\w+-)?PET", exact_case=True),
    rule(M.ULTRASOUND, r"endoscopic ultraso\w+", r"endo(?:scopic )?sonogra\w+", r"intravascular ultraso\w+",
         r"endobronchial ultraso\w+", r"laparoscopic ultraso\w+"),
    rule(M.INFRARED_REFLECTANCE, r"(?:near[- ])?infra-?red(?: \w+)? reflectance(?: imag\w+)?",
         r"(?:near[- ])?infra-?red (?:fundus )?(?:imag\w+|photograph\w*|scanning laser \w+)",
         rf"N?IR[- ](?:reflectance|{_PICTURE})"),
    rule(M.MICROSCOPY, r"(?:reflectance )?confocal(?: laser)?(?: scanning)? (?:endo)?microscop\w+"),
    rule(M.OPTICAL_COHERENCE_TOMOGRAPHY, r"optical coherence tomogra\w+(?: angiogra\w+)?(?: \(OCTA?\))?",
         rf"oct[- ]{_PICTURE}", r"oct b-?scans?", r"oct angiogra\w+"),
    rule(M.OPTICAL_COHERENCE_TOMOGRAPHY, r"(?:(?:SD|SS|HD|TD|AS|IV)-?)?OCTA?", exact_case=True),
    rule(M.FUNDUS_PHOTOGRAPHY, rf"fundus(?: camera)?[- ](?:{_PICTURE}|photograph\w*|auto-?fluorescence|camera|exam"
         r"(?:ination)?|fluorescein|angiogra\w+)(?: angiogra\w+)?", r"fundoscop\w+", r"funduscop\w+",
         r"ophthalmoscop\w+", r"(?:colou?r|ocular|retinal|dilated|red[- ]free|ultra-?wide-?field) fundus",
         r"retinal (?:photograph\w*|fundus \w+)", r"(?:fundus )?fluorescein (?:fundus )?angiogra\w+",
         r"indocyanine green angiogra\w+", r"c?SLO", r"scanning laser ophthalmoscop\w+",
         r"(?:auto-?fluorescence|AF) images? of the (?:retina|fundus)", rf"retinal {_PICTURE}", r"FAF"),
    rule(M.COMPUTED_TOMOGRAPHY, rf"{_CT_WORD}[- ](?:pulmonary |coronary )?(?:angiogra|venogra|arteriogra|urogra|"
         r"enterogra|colonogra|myelogra|cholangiogra|perfusion|arthrogra|cisternogra)\w*",
         rf"(?:angiogra|venogra|urogra|myelogra|arthrogra|enterogra)\w* {_CT_WORD}",
         r"(?:cone[- ]beam|x-?ray|micro)[- ](?:computed tomogra\w+|computeri[sz]ed tomogra\w+|CT)"),
    rule(M.MAGNETIC_RESONANCE, rf"{_MR_WORD}[- ](?:coronary )?(?:angiogra|venogra|arteriogra|urogra|enterogra|"
         r"cholangiopancreatogra|cholangiogra|arthrogra|myelogra|spectroscop|perfusion|neurogra|tractogra|"
         r"defecogra|lymphangiogra)\w*"),
    rule(M.COMPUTED_TOMOGRAPHY, r"comput(?:ed|eri[sz]ed|er)(?:[- ](?:axial|assisted))? tomogra\w+", r"CAT[- ]scans?",
         r"ct-?scans?", r"(?:HR|CE|NC|MD|CB|Q|LD|PC|μ|µ)-?CT", r"micro-?ct", r"CTs", r"CT(?:A|PA|V|U|C|AP|P)",
         r"multi-?(?:detector|slice|row) (?:CT|comput\w+)"),
    rule(M.COMPUTED_TOMOGRAPHY, r"CT", r"ct"),
    rule(M.MAGNETIC_RESONANCE, r"magnetic resonance", r"(?:f|c|mp|rs|ce|dce-?)?MRIs?", r"nuclear magnetic resonance",
         rf"mr[- ](?:{_PICTURE}|t1|t2|flair|sequences?)", r"diffusion tensor imag\w+",
         r"cardiac magnetic resonance", r"CMR imag\w+", r"MRCP"),
    rule(M.MAGNETIC_RESONANCE, r"MR(?!\.)", r"MR(?=\.$)", r"MR(?:A|V)", exact_case=True),
    rule(M.DSA, r"digital(?:ly)?[- ]subtract(?:ion|ed)(?: angiogra\w+| arteriogra\w+)?(?: \(DSA\))?"),
    rule(M.DSA, r"DSA", exact_case=True),
    rule(M.SCINTIGRAPHY, r"(?:radionuclide|radioisotope|isotope) (?:angiogra\w+|ventriculogra\w+|cystogra\w+)",
         r"(?:lympho)?scinti(?:gra\w+|scans?)", r"bone scans?", r"(?:radionuclide|isotope|gallium|HIDA|DMSA|MIBG|"
         r"thyroid|MAG-?3|V/Q|ventilation[-/ ]perfusion|sestamibi|WBC|octreotide)[- ](?:scans?|imaging|scanning)",
         r"renograms?", r"gamma camera"),
    rule(M.ULTRASOUND, r"(?:ultra-?)sounds?", r"(?:ultra-?)?sonogra(?:m|ms|phy|phic|phies|phically)",
         r"ultrasonogra\w+", r"(?:\w+ )?echo-?cardiogra\w+", r"echogra\w+", r"b-mode", r"m-mode",
         r"(?:colou?r |power |pulsed?(?:[- ]wave)? |spectral |duplex |transcranial |tissue )doppler",
         r"doppler (?:images?|imaging|signals?|flow|waveforms?|stud\w+|scans?|mode)", r"duplex scans?"),
    rule(M.ULTRASOUND, r"TTE", r"TEE", r"TVUS", r"CEUS", r"EUS", r"IVUS", r"POCUS", r"EBUS", r"TRUS", r"HRUS",
         rf"US(?= (?:{_SEEN}|probe|elastography|Doppler))",
         r"(?<=[Aa]bdominal )US", r"(?<=[Vv]aginal )US", r"(?<=[Rr]ectal )US", r"(?<=[Rr]enal )US",
         r"(?<=[Tt]hyroid )US", r"(?<=[Pp]elvic )US", r"(?<=[Dd]oppler )US", r"(?<=[Ss]cale )US",
         r"(?<=[Bb]reast )US(?= of| image|\W|$)", r"(?<=[Ee]ndoscopic )US", r"(?<=[Nn]eck )US", exact_case=True),
    rule(M.MAMMOGRAPHY, r"(?:xero)?mammogra\w+", r"(?:breast|digital) tomosynthesis", r"tomosynthesis",
         r"medio-?lateral oblique"),
    rule(M.FLUOROSCOPY, r"(?:video-?)?fluoroscop\w+", r"barium (?:swallow|enema|meal|follow|stud|contrast|exam)\w*",
         r"o?esopha(?:go)?grams?", r"upper (?:GI|gastrointestinal) series", r"small bowel follow[- ]through",
         r"VCUG", r"(?:voiding |retrograde |micturating )?(?:cysto|urethro|cystourethro)gra(?:m|ms|phy)",
         r"hysterosalpingogra\w+", r"HSG", r"ERCP", r"endoscopic retrograde cholangio-?pancreatogra\w+",
         r"(?:percutaneous transhepatic |intraoperative |retrograde )?cholangiogra\w+", r"sialogra\w+",
         r"fistulogra\w+",
         r"myelogra\w+", r"arthrogra(?:m|ms|phy)", r"defecogra\w+", r"modified barium \w+", r"gastrografin \w+"),
    rule(M.ANGIOGRAPHY, r"(?:cine-?|coronary |cerebral |left |right )*(?:angio|arterio|veno|aorto|ventriculo|phlebo|"
         r"lymphangio|cavo|porto)gra(?:m|ms|phy|phic|phies)", r"cardiac catheteri[sz]ation"),
    rule(M.MICROSCOPY, r"(?:photo-?|electron ?)?micro(?:photo)?graph(?:s|ic)?", r"photo-?micrograph\w*"),
    rule(M.DIGITAL_PHOTOGRAPHY, r"slit[- ]?lamp(?: (?:bio-?microscop\w+|microscop\w+|photograph\w*|exam\w*))?",
         r"(?:operating|surgical) microscop\w+"),
    rule(M.X_RAY, r"x[- ]?rays?", r"(?:tele-?|ortho-?)?radiogra(?:ph|phs|phy|m|ms)", rf"radiographic {_SEEN}",
         r"r(?:oe|ö)ntgen(?:ogra\w+)?s?", r"plain films?", r"skeletal survey", r"orthopantomogra\w+",
         r"pantomogra\w+", r"babygram", r"skiagrams?", r"intravenous (?:pyelogra\w+|urogra\w+)",
         r"(?:panoramic|cephalometric|periapical|bitewing) (?:radiogra\w+|films?|images?|views?)"),
    rule(M.X_RAY, r"CXRs?", r"AXR", r"KUB", r"OPG", r"IVP", r"DEXA", exact_case=True),
    rule(M.DERMOSCOPY, r"(?:video)?derm(?:at)?oscop\w+", r"trichoscop\w+", r"onychoscop\w+", r"epiluminescence \w+"),
    rule(M.ENDOSCOPY, r"(?:video-?|chromo-?)?(?:endo|colono|gastro|broncho|laparo|arthro|cysto|hystero|laryngo|"
         r"nasopharyngo|nasendo|thoraco|duodeno|entero|sigmoido|ureto|uretero|oto|esophago|oesophago|ano|procto|recto|"
         r"pharyngo|colpo|neuroendo|strobo|cholangio|ventriculo)scop(?:y|ies|e|es)", r"EGD",
         r"\w*gastroduodenoscop\w+", rf"(?:endo|colono|gastro|broncho|laparo|arthro|cysto|hystero|laryngo|thoraco|oto|"
         rf"colpo|nasendo)scopic {_SEEN}", r"narrow[- ]band imaging", r"VATS view"),
    rule(M.MICROSCOPY, r"(?:\w+-?)?microscop(?:y|e|es)", rf"microscopic(?:al)? {_SEEN}", r"capillaroscop\w+",
         r"patholog(?:y|ical) (?:slides?|images?|sections?)", r"whole[- ]slide(?: imag\w+)?",
         r"histo-?(?:patho)?log(?:ic|ical) (?:" + _SEEN + r"|slides?|analys\w+|stain\w*|pictures?)",
         r"blood (?:smears?|films?)", r"pap(?:anicolaou)? smears?", r"cytolog(?:ic|ical) (?:smears?|" + _SEEN + ")"),
    rule(M.MICROSCOPY, r"(?:FE-?)?(?:SEM|TEM)(?=[- ](?:images?|imaging|micrographs?|photographs?|analys\w+|examin\w+"
         r"|pictures?))", exact_case=True),
    rule(M.DIGITAL_PHOTOGRAPHY, r"(?:digital )?photo(?:graph)?s?", r"photograph(?:y|ic)", r"snapshots?", r"selfie",
         rf"(?:clinical|gross|macroscopic|intra-?oral|extra-?oral|intra-?operative|postoperative|preoperative|facial|"
         rf"smartphone) (?:{_PICTURE}|appearances?|specimens?|patholog\w+|aspects?|photograph\w*)", r"gonioscop\w+",
         r"surgical specimens?", r"resected specimens?", r"wood'?s lamp"),
)  # fmt: skip

# Words that suggest a modality where none is named.
HINTS: tuple[Rule[Modality], ...] = (
    rule(M.MAGNETIC_RESONANCE, r"T[12][- ]?(?:W|WI|weighted)", r"T[12][- ](?:sequences?|images?|signal|FLAIR)",
         r"diffusion[- ]weighted", r"gadolinium\w*", r"(?:turbo|fast) spin[- ]echo", r"gradient[- ]echo",
         r"flair (?:images?|sequences?|signal|hyperintens\w+)", r"proton[- ]density", r"\w*fat[- ]suppressed",
         r"tractogra\w+"),
    rule(M.MAGNETIC_RESONANCE, r"FLAIR", r"DWI", r"ADC", r"STIR", r"SWI", exact_case=True),
    rule(M.COMPUTED_TOMOGRAPHY, r"Hounsfield", r"(?:lung|bone|soft[- ]tissue) windows?", r"virtual colonoscop\w+"),
    rule(M.PET, r"(?:18F-?|\[18F\]-?|F-?18[- ]?)?(?:FDG|fluorodeoxyglucose|florbetapir)(?:[- ](?:uptake|avid))?",
         r"SUV ?max"),
    rule(M.SCINTIGRAPHY, r"(?:99m ?-?Tc|Tc-?99m|technetium|thallium|radioiodine|I-?131|I-?123)(?:-\w+)?"),
    rule(M.SCINTIGRAPHY, r"nuclear medicine (?:images?|imaging|scans?|stud(?:y|ies))"),
    rule(M.ULTRASOUND, r"(?:hypo|hyper|an|iso)echo(?:ic|genic)", r"(?:apical )?(?:four|4|two|2)[- ]chamber view",
         r"dopplers?", r"transducers?"),
    rule(M.FLUOROSCOPY, r"barium"),
    rule(M.X_RAY, r"(?:AP|PA|lateral|frontal|portable) (?:chest|abdominal|pelvis|knee|hip)(?: views?| films?)?",
         r"radiographic", r"radiographically", r"chest films?"),
    rule(M.MICROSCOPY, r"h(?:a?ematoxylin)?\s*(?:&|and|/)\s*e(?:osin)?(?:[- ]stain\w*)?", r"ha?ematoxylin\S*",
         r"immuno-?(?:histochem|fluorescen|stain|peroxidase|label)\w*",
         r"(?:gram|giemsa|PAS|ziehl-neelsen|trichrome|congo red|silver|prussian blue|oil red o)[- ]stain\w*",
         r"histo-?(?:patho)?log(?:y|ic|ical|ically)", r"cytolog(?:y|ic|ical)", r"stained",
         r"stain(?:s|ing)?", r"smears?",
         r"(?:original )?magnification,?:? ?[x×]? ?\d+", r"[x×] ?\d{2,4}", r"high[- ]power(?:ed)? fields?"),
    rule(M.MICROSCOPY, r"HE", r"IHC", r"DAPI", r"GFP", exact_case=True),
    rule(M.DIGITAL_PHOTOGRAPHY, r"gross(?:ly)?", r"intra-?operative(?:ly)?", r"macroscopic(?:ally)?"),
    rule(M.ENDOSCOPY, r"(?:endo|colono|gastro|broncho|laryngo|cysto|laparo|arthro)scopic(?:ally)?", r"polypectomy"),
    rule(M.OTHER, r"graphs?", r"plots?", r"curves?"),
)  # fmt: skip

_NAMED = Lexicon(DECOYS + NAMED)
_HINTED = Lexicon(DECOYS + HINTS)


@lru_cache(maxsize=65536)
def modalities_in(text: str) -> tuple[Modality, ...]:
    """Every modality named in ``text``, first mention first; hints only where none is named."""
    line = normalise(text)
    code = CODES.get(line.lower().replace("-", " "))
    if code is not None:
        return (code,)
    return tuple(_NAMED.meanings_in(line) or _HINTED.meanings_in(line))


def modality_of(text: str) -> Modality:
    """The modality a caption, a question or a declared code names first; ``unknown`` when it names none."""
    return next(iter(modalities_in(text)), Modality.UNKNOWN)


_ASKS_FOR_KIND = re.compile(
    r"(?:is|was|are|were) (?:this|that|it|these|the (?:image|picture|scan|study|film))(?: image| picture| scan)?"
    r" (?:an?|taken|obtained|acquired|made|done|performed|from|via|by)\b",
    re.IGNORECASE,
)


def modality_taken_for_granted(question: str) -> Modality:
    """The one modality a question about a picture presupposes ("Is there a mass in this CT?").

    ``unknown`` where it names none or two, or asks for it ("Is this an MRI?"): there the answer would decide, and
    answers are never read.
    """
    if _ASKS_FOR_KIND.match(question):
        return Modality.UNKNOWN
    named = modalities_in(question)
    return named[0] if len(named) == 1 else Modality.UNKNOWN
