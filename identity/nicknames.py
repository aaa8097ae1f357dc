"""Pet names, and the names that each may be short for: PURE.

Three lists. The product's own English one, of the most common names, so that each pet name has one
name that it usually stands for: by it records are blocked. French ones, `identity.prenoms`. And the
package `nicknames` (Apache-2.0, github.com/carltonnorthern/nicknames), collected by genealogists.
"""

from collections import defaultdict

from nicknames import NickNamer

from identity.attributes import from_traits
from identity.prenoms import PRENOMS

#: The first is the name, the others its pet names and other spellings.
_NICKNAMES = """
robert bob rob bobby robbie bert; william bill will billy willie liam; richard dick rick rich
ricky; james jim jimmy jamie; john jack johnny jon; edward ed eddie ted ned teddy; thomas tom
tommy; michael mike mick mickey; charles charlie chuck chas; joseph joe joey; david dave davey;
daniel dan danny; anthony tony; andrew andy drew; christopher chris kit topher; matthew matt;
nicholas nick nicky; steven stephen steve; benjamin ben benny; samuel sam sammy; henry harry hank;
alexander alex sandy xander; peter pete; patrick pat paddy; gregory greg; ronald ron ronnie;
donald don donnie; kenneth ken kenny; timothy tim timmy; lawrence larry laurence; frederick fred;
gerald gerry jerry; raymond ray; leonard len lenny; walter walt wally; albert al bertie; philip
phil; jonathan jonny nathan; joshua josh; zachary zach zack; vincent vince vinny; francis frank
frankie; elizabeth liz beth betty eliza lizzie libby lisa betsy; margaret maggie meg peggy marge
greta; catherine katherine kate katie cathy kathy kathryn kat; mary molly polly; patricia patty
trish tricia; jennifer jen jenny; susan sue susie suzanne; barbara barb babs; deborah debbie deb
debra; rebecca becky becca; victoria vicky tori vickie; dorothy dot dottie dolly; christina tina
chrissy; alexandra lexi alexa; jacqueline jackie; samantha sammie; theresa terry tess tessa; sarah
sally sadie; abigail abby gail; amanda mandy; judith judy; kimberly kim; pamela pam; sandra sandy;
cynthia cindy; virginia ginny; florence flo; eleanor ellie nell nora; isabella bella izzy isabel;
charlotte lottie
"""


def _names() -> dict[str, list[str]]:
    """Return, for each pet name, the names that it may be short for, the usual one first."""
    found: dict[str, list[str]] = defaultdict(list)
    for group in _NICKNAMES.split(";"):
        name, *pets = group.split()
        for pet in pets:
            found[pet].append(name)
    for line in PRENOMS.split("\n"):
        name, _, pets_of = line.partition(": ")
        for pet in pets_of.split():
            found[pet].append(name)
    for pet, longer in NickNamer().canonical_lookup.items():
        found[_spelled(pet)].extend(sorted(map(_spelled, longer)))
    return {
        pet: [name for name in dict.fromkeys(longer) if name != pet]
        for pet, longer in found.items()
    }


def _spelled(name: str) -> str:
    """Write a name as records have it."""
    return from_traits({"first_name": name}).get("first_name", name)


#: For each pet name, the names that it may be short for; the first is the usual one.
NICKNAMES = _names()
