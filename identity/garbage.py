"""What systems and forms send when they have nothing to say: PURE. It identifies nobody.

From what products block by default (Segment: `^[0-]*$`, -1, null, anonymous; Adobe: invalid), what
advertising SDKs send without permission, unfilled templates, and what people type into a form that
insists. Whole values alone: a name that contains one is a name.
"""

import re

import phonenumbers

#: Values of any namespace, case-folded and without quotes around them.
WORDS = frozenset(
    {
        "", "null", "none", "undefined", "nan", "n/a", "na", "nil", "unknown", "anonymous",
        "guest", "invalid", "test", "user", "true", "false", "-", "-1", "default", "string",
        "#n/a", "#ref!", "#value!", "#name?", "not set", "not_set", "notset", "not available",
        "not_available", "not provided", "not_provided", "not applicable", "unknown user",
        "anonymous user", "no value", "novalue", "empty", "missing", "blank", "tbd", "object",
        "logged_out", "logged out", "not logged in", "not_logged_in", "userid", "user_id",
        "anonymousid", "anonymous_id", "deviceid", "device_id", "null-null", "undefined-undefined",
        "inconnu", "inconnue", "anonyme", "aucun", "aucune", "non renseigné", "non renseigne",
        "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
        # Android 2.2 gave this id to millions, and since 6 all devices have this MAC address.
        "9774d56d682e549c", "02:00:00:00:00:00",
        # UUIDs of documentation, and the template that random ones are made from.
        "12345678-1234-1234-1234-123456789012", "12345678-1234-1234-1234-123456789abc",
        "123e4567-e89b-12d3-a456-426614174000", "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx",
    }
)  # fmt: skip
#: Only zeros and separators ("0", "000-000", a zero MAC address); one digit, hexadecimal one, or x
#: over and over, whatever separates ("1111111", ffff-ffff); an object that was printed; a template
#: that nobody filled ({{user.id}}, ${idfa}, %%ADVERTISING_ID%%, __IDFA__, [IDFA], <null>, (none)).
PATTERN = re.compile(
    r"[0\-\s:.]*"
    r"|([0-9a-fx])(?:[-:]?\1){5,63}"
    r"|\[object \w+\]"
    r"|\{\{.*\}\}|\$\{.*\}|%%[^%]+%%|__[a-z_]+__|\[[a-z_ ]+\]|<[a-z_ ]+>|\([a-z_ ]+\)"
)
#: Who an address is of that is nobody's, whatever the domain; without what separates.
SENDERS = frozenset(
    "noreply donotreply noresponse nepasrepondre mailerdaemon noemail nomail nullemail none null"
    " undefined unknown anonymous invalid notprovided notavailable test nan nil pasdemail sansemail"
    " sansmail pasdemel aucun inconnu".split()
)
#: What is typed on both sides of the @: a@a.com, asdf@asdf.com.
TYPED = frozenset(
    "abc abcd asdf asd qwerty azerty qsdf na no non nope fake foo bar mail email user example"
    " exemple client customer xyz anon".split()
)  # fmt: skip
#: Addresses of documentation.
ADDRESSES = frozenset(
    {
        "no@email.com", "email@example.com", "name@example.com", "you@example.com",
        "your@email.com", "your.email@example.com", "youremail@example.com", "user@email.com",
        "name@domain.com", "email@domain.com", "user@domain.com", "a@b.com", "a@b.c", "x@y.z",
        "x@y.com", "foo@bar.com",
    }
)  # fmt: skip
_QUOTES = "\"'`"
_COUNTING = "01234567890123456789 98765432109876543210"
#: So many digits that count, or are one, are no number by chance: two of a hundred million are.
_SURE = 8


def nobodys(text: str) -> bool:
    """Say whether a value identifies nobody in whatever namespace."""
    bare = text.strip(_QUOTES).strip().casefold()
    return bare in WORDS or PATTERN.fullmatch(bare) is not None or counts(bare, least=9)


def nobodys_mailbox(local: str, domain: str) -> bool:
    """Say whether nobody reads what is sent to an address, both sides as `mailbox` writes them."""
    name = re.sub(r"[._\-]", "", local)
    label = domain.partition(".")[0]
    if name in SENDERS or f"{local}@{domain}" in ADDRESSES:
        return True
    return local == label and (name in TYPED or name in WORDS or len(set(name)) == 1
                               or name.isdigit())  # fmt: skip


def counts(digits: str, *, least: int = 5) -> bool:
    """Say whether digits do nothing but count up or down: 1234567890, 98765."""
    return len(digits) >= least and digits in _COUNTING


def nobodys_number(digits: str) -> bool:
    """Say whether the digits of a phone number, with its country's or without, are made up.

    One digit over and over and counting ones, also behind a trunk prefix, a country or the first
    digits of mobiles: 0612345678, +33600000000. `digits` are ASCII.
    """
    national = digits.lstrip("0")
    try:
        said = phonenumbers.parse("+" + national, None)
        found = {digits, national, str(said.national_number)}
    except phonenumbers.NumberParseException:
        found = {digits, national}
    return any(
        len(set(number)) < 2 or counts(number, least=7) or _made_up(number[-_SURE:])
        for number in found
    )


def _made_up(end: str) -> bool:
    return len(end) == _SURE and (len(set(end)) == 1 or counts(end))
