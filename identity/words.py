"""Explanations in words, English and French: PURE. Data says the same, for programs."""

from typing import Any, Literal, get_args

Language = Literal["en", "fr"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

#: What a comparison or another step of a waterfall is called.
NAMES: dict[str, tuple[str, str]] = {
    "prior": ("Before any comparison", "Avant toute comparaison"),
    "household": ("One household looks alike", "Un même foyer se ressemble"),
    "first_name": ("First name", "Prénom"),
    "last_name": ("Last name", "Nom"),
    "birth_date": ("Birth date", "Date de naissance"),
    "birth_year": ("Year of birth", "Année de naissance"),
    "email": ("E-mail", "E-mail"),
    "phone": ("Phone", "Téléphone"),
    "address": ("Address", "Adresse"),
    "postcode": ("Postcode", "Code postal"),
    "city": ("Town", "Ville"),
    "national_id": ("National id", "Identifiant national"),
}
#: Degrees of agreement, as `likeness` labels them.
LEVELS: dict[str, tuple[str, str]] = {
    "same": ("the same", "identique"),
    "other generation": ("of another generation (Sr, Jr)", "d'une autre génération (père, fils)"),
    "swapped": ("first and last name exchanged", "prénom et nom intervertis"),
    "nickname": ("a nickname of the other", "un diminutif de l'autre"),
    "close": ("nearly the same", "presque identique"),
    "part": ("a part of the other", "une partie de l'autre"),
    "generation apart": ("a generation apart", "à une génération d'écart"),
    "initial": ("the same initial", "même initiale"),
    "similar": ("similar", "ressemblant"),
    "different": ("different", "différent"),
    "shared part": ("one part in common", "une partie commune"),
    "typo": ("one typing error apart", "à une faute de frappe près"),
    "within a year": ("less than a year apart", "à moins d'un an près"),
    "next year": ("a year apart", "à un an près"),
    "two parts": ("two of day, month and year agree", "deux sur trois de jour, mois et année"),
    "same user": ("the same mailbox name elsewhere", "même nom de boîte ailleurs"),
    "own name": ("both made of the same name", "toutes deux faites du même nom"),
    "own name and number": (
        "made of the same name and number",
        "faites du même nom et du même numéro",
    ),
    "close user": ("nearly the same mailbox name", "nom de boîte presque identique"),
    "same last eight": ("the same last eight digits", "huit derniers chiffres identiques"),
    "same street elsewhere": ("the same street elsewhere", "même rue, autre ville"),
    "same town": ("the same town", "même ville"),
    "moved in town": ("another street in one town", "autre rue de la même ville"),
}
#: Why a link is held, by what its reason begins with.
GUARDS: dict[str, tuple[str, str]] = {
    "consent:refused": (
        "one of the two does not allow being recognised across channels (profile.link)",
        "l'un des deux refuse d'être reconnu d'un canal à l'autre (profile.link)",
    ),
    "consent:not_given": (
        "a match needs profile.link given by both, and one has not given it",
        "un rapprochement demande que profile.link soit donné des deux côtés, et l'un ne l'a pas"
        " donné",
    ),
    "blocked": ("one is a value that identifies nobody", "l'un est une valeur qui n'identifie"
                " personne"),
    "frequency": ("one was seen with too many others to be one person's",
                  "l'un a été vu avec trop d'autres pour être à une personne"),
    "shared": ("one is shared by several logins, as a family's device is",
               "l'un est partagé par plusieurs comptes, comme l'appareil d'une famille"),
    "visitors": ("more people left an address there than one person has, as at a kiosk",
                 "plus de personnes y ont laissé une adresse qu'une seule n'en a, comme à une"
                 " borne"),
    "agent": ("one is a login under which others are identified, as in a call centre",
              "l'un est un compte sous lequel d'autres sont identifiés, comme dans un centre"
              " d'appels"),
    "lapsed": ("the login was seen with it long before another was",
               "le compte y a été vu bien avant un autre"),
    "undone": ("its rule was taken back, or its run, and the records say nothing new since",
               "sa règle a été annulée, ou son traitement, et les fiches ne disent rien de nouveau "
               "depuis"),
    "outscored": ("a later run finds them likely one person no more",
                  "un traitement ultérieur ne les croit plus une seule personne"),
    "limit": ("one person would have more values of a namespace than allowed",
              "une personne aurait plus de valeurs d'un espace de noms qu'il n'est permis"),
    "size": ("the person would have too many identifiers to be one",
             "la personne aurait trop d'identifiants pour être une seule"),
    "bridge": ("nothing but this one link, or one value that both share, joins two big groups",
               "rien que ce seul lien, ou une seule valeur partagée, ne joint deux grands groupes"),
    "conflict": ("their records bear other names and no equal birth date, or are born a generation"
                 " apart",
                 "leurs fiches portent d'autres noms et aucune date de naissance commune, ou une"
                 " génération les sépare"),
    "cannot_link": ("somebody decided that they are two", "quelqu'un a décidé qu'ils sont deux"),
}  # fmt: skip
SENTENCES: dict[str, tuple[str, str]] = {
    "bar": ("{name}: {level} ({weight} bits).", "{name} : {level} ({weight} bits)."),
    "bar.plain": ("{name} ({weight} bits).", "{name} ({weight} bits)."),
    "sum": (
        "In all {weight} bits: {probability} likely to be one person.",
        "Au total {weight} bits : {probability} de chances d'être une seule personne.",
    ),
    "same": (
        "{left} and {right} are one person; {count} link(s) lead from one to the other.",
        "{left} et {right} sont une seule personne ; {count} lien(s) mènent de l'un à l'autre.",
    ),
    "itself": ("{left} is one and the same identifier.", "{left} est un seul et même identifiant."),
    "apart": (
        "{left} and {right} are two people.",
        "{left} et {right} sont deux personnes.",
    ),
    "event": (
        "{left} and {right} were seen together in an event ({rule}), first on {day}.",
        "{left} et {right} ont été vus ensemble dans un événement ({rule}), d'abord le {day}.",
    ),
    "match": (
        "{left} and {right} were matched, {probability} likely to be one person.",
        "{left} et {right} ont été rapprochés, avec {probability} de chances d'être une seule"
        " personne.",
    ),
    "match.untold": (
        "{left} and {right} were matched; what was compared is not told.",
        "{left} et {right} ont été rapprochés ; ce qui a été comparé n'est pas dit.",
    ),
    "match.for": (
        "For it, the most telling first: {fields}.",
        "Pour, le plus parlant d'abord : {fields}.",
    ),
    "match.against": ("Against it: {fields}.", "Contre : {fields}."),
    "spelling": (
        "{left} and {right} are spellings of one value.",
        "{left} et {right} sont deux écritures d'une même valeur.",
    ),
    "manual": (
        "Somebody decided on {day} that {left} and {right} are one person.",
        "Quelqu'un a décidé le {day} que {left} et {right} sont une seule personne.",
    ),
    "link.held": ("Not followed: {guard}.", "Non suivi : {guard}."),
    "link.revoked": ("Taken back since.", "Retiré depuis."),
    "merge": (
        "Two people became one on {day}; {count} link(s) lead from one to the other.",
        "Deux personnes sont devenues une le {day} ; {count} lien(s) mènent de l'une à l'autre.",
    ),
    "merge.undone": (
        "Taken back on {day} by {by}: they are two again.",
        "Annulé le {day} par {by} : elles sont de nouveau deux.",
    ),
    "consent:refused": (
        "Not compared: one of the two refuses profile.link. Nothing more is looked at.",
        "Non comparés : l'un des deux refuse profile.link. Rien d'autre n'est regardé.",
    ),
    "consent:not_given": (
        "Not compared: matching needs profile.link given by both, and one has not given it.",
        "Non comparés : le rapprochement demande profile.link donné des deux côtés, et l'un ne l'a"
        " pas donné.",
    ),
    "cannot_link": (
        "Decided on {day}: they are two people.",
        "Décidé le {day} : ce sont deux personnes.",
    ),
    "held": (
        "A link between them ({kind}) is not followed: {guard}.",
        "Un lien entre eux ({kind}) n'est pas suivi : {guard}.",
    ),
    "revoked": (
        "A link between them ({kind}) was taken back on {day}.",
        "Un lien entre eux ({kind}) a été retiré le {day}.",
    ),
    "no_event": ("No event shows both.", "Aucun événement ne montre les deux."),
    "no_record": (
        "Not compared: of one of the two nothing is known that could be compared.",
        "Non comparés : de l'un des deux on ne sait rien qui se compare.",
    ),
    "no_model": (
        "Not compared: no whole matching run has learnt anything yet.",
        "Non comparés : aucun traitement complet n'a encore rien appris.",
    ),
    "waiting": (
        "Not compared yet: one of the two is new or changed, and waits for the next run.",
        "Pas encore comparés : l'un des deux est nouveau ou changé, et attend le prochain"
        " traitement.",
    ),
    "no_rule": (
        "No candidate: they share no blocking key ({rules} were tried).",
        "Pas candidats : ils n'ont aucune clé de regroupement commune ({rules} essayées).",
    ),
    "crowded": (
        "Every blocking key that both share is shared by more than {most} records.",
        "Chaque clé de regroupement commune est partagée par plus de {most} fiches.",
    ),
    "below_review": (
        "Compared: {probability} likely, and nobody is asked below {threshold}.",
        "Comparés : {probability} de chances, et sous {threshold} on n'interroge personne.",
    ),
    "review": (
        "Compared: {probability} likely. The pair waits for a person's decision (merged from"
        " {threshold} on).",
        "Comparés : {probability} de chances. La paire attend la décision d'une personne (fusion à"
        " partir de {threshold}).",
    ),
    "above_merge": (
        "By today's records and model {probability} likely: the next run would link them, if no"
        " guard objects.",
        "Avec les fiches et le modèle d'aujourd'hui, {probability} de chances : le prochain"
        " traitement les lierait, si aucune garde ne s'y oppose.",
    ),
    "alone": ("It is one identifier, alone.", "C'est un seul identifiant."),
    "holds": (
        "{identifiers} identifiers are held together by {followed} links; {held} more are not"
        " followed.",
        "{identifiers} identifiants tiennent ensemble par {followed} liens ; {held} autres ne sont"
        " pas suivis.",
    ),
    "weakest": (
        "It hangs on {count} link(s) most: {links}.",
        "Elle tient surtout à {count} lien(s) : {links}.",
    ),
    "parts": (
        "Without, it would fall into {count} people of {sizes} identifiers.",
        "Sans cela, elle se diviserait en {count} personnes de {sizes} identifiants.",
    ),
    "stays": (
        "Without, it would stay together: links that are held now would be followed.",
        "Sans cela, elle resterait entière : des liens aujourd'hui retenus seraient suivis.",
    ),
    "dense": (
        "No single link holds it together, and it is too large for more to be said.",
        "Aucun lien ne la tient à lui seul, et elle est trop grande pour en dire plus.",
    ),
    "drift.nothing": (
        "Nothing was decided yet, so nothing is known.",
        "Rien n'a encore été décidé, donc on ne sait rien.",
    ),
    "drift.thin": (
        "Too little was decided to conclude anything: {decided} pairs, {matches} of them matches,"
        " and {wrong} merges found wrong; {least} pairs of similar probability are needed.",
        "Trop peu a été décidé pour conclure : {decided} paires, dont {matches} sont la même"
        " personne, et {wrong} fusions jugées fausses ; il faut {least} paires de probabilité"
        " voisine.",
    ),
    "drift.holds": (
        "Probabilities mean what they promise, as far as {decided} decided pairs show; {wrong}"
        " merges were found wrong.",
        "Les probabilités tiennent leurs promesses, d'après {decided} paires décidées ; {wrong}"
        " fusions ont été jugées fausses.",
    ),
    "drift.optimistic": (
        "Probabilities promise too much: of {n} pairs said to be {promised} likely, {observed}"
        " match. {wrong} merges were found wrong.",
        "Les probabilités promettent trop : de {n} paires données à {promised}, {observed} sont"
        " la même personne. {wrong} fusions ont été jugées fausses.",
    ),
    "drift.pessimistic": (
        "Probabilities promise too little: of {n} pairs said to be {promised} likely, {observed}"
        " match. {wrong} merges were found wrong.",
        "Les probabilités promettent trop peu : de {n} paires données à {promised}, {observed}"
        " sont la même personne. {wrong} fusions ont été jugées fausses.",
    ),
    "title": ("Why these two", "Pourquoi ces deux"),
    "total": ("In all", "Au total"),
    "bits": ("match weight, bits", "poids, en bits"),
}
KINDS: dict[str, tuple[str, str]] = {
    "event": ("event", "événement"),
    "match": ("match", "rapprochement"),
    "manual": ("decision", "décision"),
}


def say(language: Language, key: str, **values: Any) -> str:
    """Return a sentence; numbers among the values must be written already."""
    return SENTENCES[key][LANGUAGES.index(language)].format(**values)


def name(language: Language, comparison: str) -> str:
    """Return what a comparison is called; one that is not known by its own name."""
    return NAMES.get(comparison, (comparison, comparison))[LANGUAGES.index(language)]


def level(language: Language, label: str) -> str:
    """Return what a degree of agreement is called."""
    return LEVELS.get(label, (label, label))[LANGUAGES.index(language)]


def kind(language: Language, of: str) -> str:
    """Return what a kind of link is called."""
    return KINDS[of][LANGUAGES.index(language)]


def guard(language: Language, reason: str) -> str:
    """Return why a link is held, such as `limit:user_id`."""
    found = GUARDS.get(reason) or GUARDS.get(reason.partition(":")[0], (reason, reason))
    return found[LANGUAGES.index(language)]


def number(language: Language, value: float, digits: int = 1, sign: bool = False) -> str:
    """Write a number as the language does; a minus is a minus, no hyphen."""
    written = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    written = written.replace("-", "−")
    return written.replace(".", ",") if language == "fr" else written


def percent(language: Language, share: float) -> str:
    """Write a share in percent; what is not certain never becomes 0 or 100 by rounding."""
    value = 100 * share
    digits = 1 if 0.1 <= value <= 99.9 else 3
    bounded = min(max(value, 0.001), 99.999)
    return number(language, bounded, digits) + (" %" if language == "fr" else "%")
