"""Consent strings for tests: the public ones, those that IAB's packages write, and what they read.

Vectors of research/consent.md section 4, each with its source and licence there.
"""

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from consent.signals import gpp, tcf
from consent.signals.bits import Undecodable
from consent.signals.tcf import TcString, Vendors
from consent.signals.us_privacy import UsPrivacy
from consent.signals.us_sections import SECTIONS
from tests.end_to_end.sdk import install

NODE = Path(__file__).parent / "node"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

V1 = "CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA"
V2 = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA"
V3 = "COoC-kUOoC-kUAHABAENAwCoAIAAAELAAAwIF5wAoAAgAGAvMACX_ABBAAQAFA"
V4 = "COv_eg6Ov_eg6AOADBENAaCgAP_AAH_AACiQAVEUQQoAIQAqIoghAAQgAA.YAAAAAAAAAAAAAAAAAA"
V5 = "CPzbcgAPzbcgAGXABBENATEIAACAAAAAAAAAABEAAAAA"
V6 = "CPzvOIAPzvOIAGXABBENAUEAAACAAAAAAAAAAAAAAAAA.IAAA"
CMP_0 = "CPSG_8APSG_8AAAAAAENAACAAAAAAAAAAAAAAAAAAAAA.QAAA.IAAA"
TCF = (V1, V2, V3, V4, V5, V6)
GPP = (
    f"DBABMA~{V2}",
    f"DBABM~{V2}",
    f"DBACNY~{V2}~1YNN",
    f"DBACNYA~{V2}~1YNN",
    "DBABTA~1YNN",
    "DBABTA~1YYN",
    "DBABTA~1---",
    "DBABLA~BVQqAAAAAgA.QA",
    "DBABLA~BVQqAAAAAgA.YA",
    "DBABLA~BVVVkkkkkpFY.YA",
    "DBABLA~CVVVkkkkkpFY.YA",
)
PUBLIC = [*(("tcf", text) for text in TCF), *(("gpp", text) for text in GPP)]

Strings = list[tuple[str, str]]
Read = dict[str, Any]


def written(each: int) -> Strings:
    """So many TC and so many GPP strings as IAB's encoders write them, and the public ones."""
    return [*PUBLIC, *(one for one in _written(each) if one[0] != "canada")]


def canadian(each: int) -> Strings:
    """So many GPP strings with the section of IAB Canada as IAB's encoder writes them."""
    return [one for one in _written(each) if one[0] == "canada"]


@cache
def _written(each: int) -> Strings:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "strings.json"
        _node("encode.mjs", str(path), str(each))
        made = json.loads(path.read_text(encoding="utf-8"))
    return [(one["kind"], one["text"]) for one in made]


def read_by_iab(strings: Strings) -> list[Read | None]:
    """What IAB's decoders say of each; None where they reject it."""
    if not strings:
        return []
    with TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.json", Path(folder) / "answered.jsonl"
        asked.write_text(json.dumps([{"kind": k, "text": t} for k, t in strings]), "utf-8")
        _node("decode.mjs", str(asked), str(answered))
        lines = answered.read_text(encoding="utf-8").split("\n")
    found = [json.loads(line) for line in lines]
    assert len(found) == len(strings)
    return [None if "error" in one else one for one in found]


def read_by_us(kind: str, text: str) -> Read | None:
    """What our decoders say, in the form of IAB's; None where they reject it."""
    try:
        return as_iab(tcf.decode(text)) if kind == "tcf" else gpp_as_iab(gpp.decode(text))
    except Undecodable:
        return None


def as_iab(found: TcString) -> Read:
    restrictions: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for one in found.restrictions:
        restrictions.setdefault((one.purpose, one.kind), []).extend(one.vendors.ranges)
    publisher = found.publisher
    return {
        "created": round(found.created.timestamp() * 1000),
        "updated": round(found.updated.timestamp() * 1000),
        **{
            name: getattr(found, name)
            for name in (
                "cmp_id", "cmp_version", "screen", "language", "list_version", "policy_version",
                "service_specific", "non_standard_texts", "one_treatment", "country",
            )
        },
        **{
            name: sorted(getattr(found, name))
            for name in ("special_features", "purposes", "legitimate")
        },
        **{
            name: vendors(getattr(found, name))
            for name in ("vendors", "legitimate_vendors", "disclosed", "allowed")
        },
        "restrictions": [
            [*key, runs(ranges)] for key, ranges in sorted(restrictions.items()) if ranges
        ],
        "publisher": [
            sorted(getattr(publisher, name)) if publisher else []
            for name in ("purposes", "legitimate", "custom", "custom_legitimate")
        ],
    }  # fmt: skip


def gpp_as_iab(found: gpp.Gpp) -> Read:
    letters = {True: "Y", False: "N", None: "-"}
    out: Read = {"sections": sorted(found.sections - found.unread)}
    if found.unread:
        out["unread"] = sorted(found.unread)
    if found.tcf:
        out["tcfeuv2"] = as_iab(found.tcf)
    if found.us_privacy:
        out["uspv1"] = usp_as_iab(found.us_privacy, letters)
    for section, values in (found.states or {}).items():
        out[SECTIONS[section].name] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }
    return out


def usp_as_iab(found: UsPrivacy, letters: dict[bool | None, str]) -> Read:
    return {
        "Version": 1,
        "Notice": letters[found.notice],
        "OptOutSale": letters[found.opted_out],
        "LspaCovered": letters[found.covered],
    }


def comparable(kind: str, theirs: Read) -> Read:
    """What IAB's GPP package says, without what only its own form has."""
    if kind == "tcf":
        return theirs
    # Canada's section is not read by ours, and those of ids that nobody knows are by neither.
    out: Read = {"sections": sorted(i for i in theirs["sections"] if i != 5)}
    for name, fields in theirs.items():
        if name == "tcfeuv2":
            out[name] = fields
        elif name not in ("sections", "tcfcav1"):
            out[name] = {
                "Version" if field == "MspaVersion" else field: value
                for field, value in fields.items()
                if not field.endswith(("SegmentType", "Included"))
            }
    return out


def vendors(found: Vendors | None) -> list[list[int]]:
    if found is None:
        return []
    if found.ranges:
        return runs(found.ranges)
    bits = format(found.field, f"0{found.size}b")
    return [[run.start() + 1, run.end()] for run in re.finditer("1+", bits)]


def runs(ranges: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Ranges in their order, those that touch as one."""
    out: list[list[int]] = []
    for first, last in sorted(ranges):
        if out and first <= out[-1][1] + 1:
            out[-1][1] = max(out[-1][1], last)
        else:
            out.append([first, last])
    return out


def prefixes(text: str) -> Iterator[str]:
    """Every beginning of a string but the whole."""
    return (text[:size] for size in range(len(text)))


def flips(text: str) -> Iterator[str]:
    """Every string that differs in one bit: of base64url by its six, of a separator by its byte."""
    for place, letter in enumerate(text):
        if letter in ALPHABET:
            others = [ALPHABET[ALPHABET.index(letter) ^ (1 << bit)] for bit in range(6)]
        else:
            others = [chr(ord(letter) ^ (1 << bit)) for bit in range(7)]
        yield from (text[:place] + other + text[place + 1 :] for other in others)


def _node(script: str, *arguments: str) -> None:
    folder = install.node_packages(NODE)
    done = subprocess.run(
        ["node", script, *arguments], cwd=folder, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr[-2000:]
