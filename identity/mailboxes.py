"""One spelling of an e-mail address, whichever way it is written: no database, no settings."""

import re
import unicodedata
from urllib.parse import unquote

import idna

from identity.garbage import nobodys_mailbox

#: Providers that deliver `a.b@` and `ab@` to one mailbox [Google, "Dots don't matter in Gmail"].
DOTLESS = frozenset({"gmail.com", "googlemail.com"})
#: How headers (RFC 5322, 3.4) and links (RFC 6068) write an address.
NAMED = re.compile(r"[^<>]*<([^<>]*)>")
LINK = "mailto:"
#: What nobody sees, beside control and format characters (Unicode, Default_Ignorable_Code_Point).
INVISIBLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
#: Full stops of other scripts, which separate labels like ours (UTS 46, 2.3).
STOPS = re.compile("[\u3002\uff0e\uff61]")

#: Characters that no domain has, nor what stands for one.
NO_DOMAIN = re.compile(r"[\s<>]")
#: The DNS holds no name of more octets (RFC 1035, 2.3.4).
LONGEST_DOMAIN = 253


def mailbox(address: str) -> str | None:
    """Return the address of the mailbox that an address delivers to, or None when it is none.

    What follows a plus is a tag (RFC 5233): Gmail, Outlook, iCloud, Fastmail, Proton and the
    companies that they host deliver it to the address without. Unicode is composed (NFKC) and what
    nobody sees is left out; the domain is written as the DNS has it (IDNA 2008, UTS 46, without
    the mappings that were of transition). Done to its own result it changes nothing.
    """
    local, at, domain = _bare(address).rpartition("@")
    domain = _domain(domain)
    local = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", local).casefold())
    if not at or not local or not domain or "@" in local:
        return None
    name = local.partition("+")[0].strip() or local
    if domain in DOTLESS:
        name, domain = name.replace(".", "") or name, "gmail.com"
    return None if nobodys_mailbox(name, domain) else f"{name}@{domain}"


def _bare(text: str) -> str:
    """Return an address without what is around it in a header or a link, nor in it unseen."""
    text = _visible(text)
    if found := NAMED.fullmatch(text):
        text = found[1].strip()
    while text[: len(LINK)].lower() == LINK:
        text = _visible(unquote(text[len(LINK) :].partition("?")[0]))
    return text


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text.strip()
    composed = INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return "".join(c for c in composed if unicodedata.category(c) not in ("Cc", "Cf")).strip()


def _domain(written: str) -> str:
    """Return a domain as the DNS has it; empty when it can be none."""
    domain = STOPS.sub(".", written).strip().rstrip(".").lower()
    if len(domain) > LONGEST_DOMAIN or NO_DOMAIN.search(domain):
        return ""
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode().rstrip(".")
    except idna.IDNAError:  # such as emoji, which some registries sell all the same
        labels = unicodedata.normalize("NFKC", domain).split(".")
    return ".".join(x if x.isascii() else f"xn--{x.encode('punycode').decode()}" for x in labels)
