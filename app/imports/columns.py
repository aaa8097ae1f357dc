"""What the columns of an events file mean: by what they are called, or by what is said; pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from app.errors import ImportFailed
from identity.identifiers import canonical_namespace

#: Fields of the tracking API that a column is by its name, in any spelling of it.
FIELDS: Mapping[str, str] = {
    "type": "type",
    "name": "name",
    "userid": "userId",
    "anonymousid": "anonymousId",
    "previousid": "previousId",
    "groupid": "groupId",
    "messageid": "messageId",
    "sentat": "sentAt",
    "properties": "properties",
    "traits": "traits",
    "context": "context",
}
#: What may say when it happened and what, the first one found; also as XES, pm4py, Disco and the
#: logs of the BPI challenges call it.
TIME = (
    "timestamp", "originaltimestamp", "occurredat", "timetimestamp", "eventtimetimestamp",
    "completetimestamp", "eventtimestamp", "eventdatetime", "datetime", "invoicedate",
    "orderdate", "purchasedate", "transactiondate", "orderpurchasetimestamp", "derivedtstamp",
    "collectortstamp", "ts", "starttimestamp", "servertimestamp", "datestamp", "horodatage",
)  # fmt: skip
#: Days, and the hour of these in a column of its own.
DAY_AND_HOUR = (("eventdate", "eventtime"), ("date", "time"))
#: A day in three columns, as in shops' clickstreams.
IN_THREE = ("year", "month", "day")
LESS_SURE = ("eventtime", "createdat", "eventdate", "date", "time")
EVENT = (
    "event", "eventname", "conceptname", "eventconceptname", "activity", "activityname",
    "activityid", "eventtype", "action", "actiontype", "behavior", "behaviortype", "activité",
    "activite", "événement", "evenement",
)  # fmt: skip
SEQUENCE = ("sourceseq", "sequencenumber")
#: Whose it is where the tracking API's own columns are missing, and the namespace of that.
PERSON: Mapping[str, str] = {
    "caseid": "case_id",
    "caseconceptname": "case_id",
    "case": "case_id",
    "customerid": "customer_id",
    "idclient": "customer_id",
    "visitorid": "anonymous_id",
    "fullvisitorid": "anonymous_id",
    "distinctid": "distinct_id",
    "uid": "user_id",
    "deviceid": "device_id",
    # A session that is a case may be called 0, as the first one of OTTO's is.
    "sessionid": "session_case_id",
    "session": "session_case_id",
}
#: What exports of products call fields of the tracking API, by a column that only these have:
#: Amplitude, Google Analytics (BigQuery), Mixpanel, Matomo, Snowplow.
EXPORTS: Mapping[str, Mapping[str, str]] = {
    "amplitudeid": {
        "deviceid": "anonymousId", "eventproperties": "properties", "uuid": "messageId",
    },
    "userpseudoid": {"userpseudoid": "anonymousId", "eventparams": "properties"},
    "distinctid": {"deviceid": "anonymousId", "insertid": "messageId"},
    "idvisit": {"visitorid": "anonymousId"},
    "domainuserid": {"domainuserid": "anonymousId", "eventid": "messageId"},
}  # fmt: skip
#: Properties that come from XES under another name.
RENAMED: Mapping[str, str] = {"lifecycletransition": "lifecycle", "orgresource": "resource"}


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a file become.

    `time` are one column, or one of days and one of hours, or those of year, month and day, which
    of the hour and of minutes may follow. `person` identifies by `namespace`;
    None leaves that to the fields of the tracking API. `fields` are columns that are a field of
    the message, all others are properties.
    """

    time: tuple[str, ...]
    event: str | None
    person: str | None
    namespace: str
    sequence: str | None
    fields: Mapping[str, str]

    def becomes(self, column: str) -> str:
        """Return what a column becomes, for whoever looks before they import."""
        if column in self.time:
            return "timestamp"
        if column == self.event:
            return "event"
        if column == self.person:
            return f"identifier {self.namespace}"
        if column == self.sequence:
            return "sourceSeq"
        return self.fields.get(column) or f"property {property_of(column)}"

    def about(self, names: Collection[str]) -> dict[str, str]:
        """Return what each of these columns becomes."""
        return {name: self.becomes(name) for name in names}


def property_of(column: str) -> str:
    """Return the property that a column without another meaning is."""
    return RENAMED.get(_bare(column), column)


def understand(
    names: Collection[str],
    *,
    time: Sequence[str] = (),
    event: str | None = None,
    person: str | None = None,
    namespace: str | None = None,
    sequence: str | None = None,
    foreign: Collection[str] = (),
) -> Columns:
    """Return what the columns of a file mean; what is said goes before what they are called.

    `foreign` are columns that are called as a field of the tracking API and hold something else.
    One of types then says what happened, where none does so by its name.

    A column said to name the person is the only one that does, unless it is the tracking API's
    own: whom else the row names, nobody said. Raises ImportFailed for a column that is not there.
    """
    said = (("event", event), ("id", person), ("order", sequence))
    for option, wanted in (*(("time", one) for one in time), *said):
        if wanted is not None and wanted not in names:
            raise ImportFailed(f"--{option}-column {wanted}: the columns are {', '.join(names)}")
    by_name: dict[str, str] = {}
    for name in names:
        by_name.setdefault(_bare(name), name)
    fields = _fields(by_name, names, foreign)
    if person is not None and fields.get(person) in ("userId", "anonymousId"):
        own = canonical_namespace(fields[person])
        if namespace in (None, own):
            person = None
    elif person is None:
        person = _person(by_name, fields, namespace)
    if person is not None:
        named = ("userId", "anonymousId", "previousId")
        fields = {name: field for name, field in fields.items() if field not in named}
    when = tuple(time) or _time(by_name)
    called = event or _first(by_name, EVENT) or next(iter(foreign), None)
    order = sequence or _first(by_name, SEQUENCE)
    taken = {*when, called, person, order}
    return Columns(
        when,
        called,
        person,
        namespace or (_namespace(person) if person is not None else ""),
        order,
        {name: field for name, field in fields.items() if name not in taken},
    )


def _fields(
    by_name: Mapping[str, str], names: Collection[str], foreign: Collection[str]
) -> dict[str, str]:
    """Return which columns are fields of the tracking API, by its names or a product's own."""
    known = dict(FIELDS)
    for mark, fields in EXPORTS.items():
        if mark in by_name:
            known |= fields
    return {name: known[_bare(name)] for name in names
            if _bare(name) in known and name not in foreign}  # fmt: skip


def _person(
    by_name: Mapping[str, str], fields: Mapping[str, str], namespace: str | None
) -> str | None:
    """Return the column that names the person, where the tracking API's do not do so by name."""
    if namespace is not None:
        return _first(by_name, ("userid", *PERSON, "anonymousid"))
    if {"userId", "anonymousId", "context"} & {*fields.values()}:
        return None
    return _first(by_name, PERSON)


def namespace_of(column: str) -> str | None:
    """Return the namespace of a column that says whose a row is by its name; None of any other.

    The same in files of events and of people, or nobody in the one would be anybody in the other.
    """
    return PERSON.get(_bare(column))


def _namespace(column: str) -> str:
    return namespace_of(column) or canonical_namespace(column)


def _time(by_name: Mapping[str, str]) -> tuple[str, ...]:
    sure = _first(by_name, TIME)
    if sure is not None:
        return (sure,)
    for day, hour in DAY_AND_HOUR:
        if day in by_name and hour in by_name:
            return by_name[day], by_name[hour]
    found = _first(by_name, LESS_SURE)
    if found is not None:
        return (found,)
    three = tuple(by_name[part] for part in IN_THREE if part in by_name)
    return three if len(three) == len(IN_THREE) else ()


def _first(by_name: Mapping[str, str], wanted: Collection[str]) -> str | None:
    return next((by_name[name] for name in wanted if name in by_name), None)


def _bare(column: str) -> str:
    """Return a column's name without case, spaces and signs: `Case ID` is `case_id`."""
    return "".join(filter(str.isalnum, column.casefold()))


def called(name: str, names: Collection[str]) -> str | None:
    """Return the column of this name in any spelling."""
    return next((column for column in names if _bare(column) == _bare(name)), None)


def when(names: Collection[str]) -> str | None:
    """Return a column that surely says when something happened."""
    return next((column for column in names if _bare(column) in TIME), None)


def looks_like_events(names: Collection[str], foreign: Collection[str] = ()) -> bool:
    """Say whether a file has events: each has a time and is called something, or it says so."""
    found = {_bare(name) for name in names if name not in foreign}
    if found & {"event", "type", "messageid"}:
        return True
    named = foreign or found.intersection(EVENT)
    return bool(named and found.intersection((*TIME, *LESS_SURE)))
