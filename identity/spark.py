# ruff: noqa: S608 -- the SQL is composed of this package's constants and of learnt numbers; values
# of records travel as files, never as text.
"""Has Splink compare pairs of records on Apache Spark; the other file that knows Splink.

The model, the blocking keys and what is learnt are those of DuckDB: only the comparing of pairs,
which is nearly all of the work, goes to the executors. Files in a folder that this process and all
executors see carry records there and pairs back. PySpark is an option, `parcours[spark]`, and needs
Java 17.
"""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from pyspark.sql import SparkSession
from splink import Linker
from splink.backends.spark import SparkAPI
from sqlglot import exp

from identity.blocking import Blocks
from identity.comparing import Compare, compared_sql, settings_of
from identity.learnt import FREQUENCIES
from identity.mixture import Model

#: Records go to the executors in files of this size.
_FILE = "64MB"
_SOURCE = "Likeness.java"
_FUNCTIONS = {
    "parcours_jaro_winkler": ("Likeness$JaroWinkler", "DoubleType"),
    "parcours_damerau_levenshtein": ("Likeness$DamerauLevenshtein", "LongType"),
}


def on_spark(master: str, exchange: Path) -> Compare:
    """Return what compares pairs on the cluster of this master (`spark://…`, `yarn`, `local[4]`).

    `exchange` is a folder that this process and every executor see under the same path; what lies
    there is deleted with the run's scratch files.
    """

    def compare(
        con: duckdb.DuckDBPyConnection,
        model: Model,
        blocks: Blocks,
        can_reach: str,
        tell: Callable[[str], None],
    ) -> None:
        tables = ["people", "usable", *(f"frequency_{column}" for column in FREQUENCIES)]
        for table in tables:
            to = exchange / table
            con.execute(
                f"copy {table} to '{_quoted(to)}' (format parquet, file_size_bytes '{_FILE}')"
            )
        tell(f"comparing up to {blocks.pairs:,} candidate pairs on {master}")
        with _session(master, exchange) as spark:
            for table in tables:
                spark.read.parquet(_url(exchange / table)).createOrReplaceTempView(table)
            _compare(spark, model)
            gammas = ", ".join(f"gamma_{name}" for name in model.present)
            for name, sql in (
                (
                    "patterns",
                    f"select {gammas}, half_bits, count(*) as n from compared group by all",
                ),
                ("pairs", f"select * from compared where {can_reach}"),
            ):
                told = spark.sql(_spark_sql(sql))
                told.write.mode("overwrite").parquet(_url(exchange / name))
                tell(f"{name} are back")
        for name in ("patterns", "pairs"):
            con.execute(f"create table {name} as from '{_quoted(exchange / name)}/*.parquet'")

    return compare


def _compare(spark: SparkSession, model: Model) -> None:
    """Let Splink compare the pairs that share a usable key, as the view `compared`."""
    candidates = spark.sql(
        "select distinct l.record_id as join_key_l, r.record_id as join_key_r, '0' as match_key"
        " from usable l join usable r on l.key = r.key and l.record_id < r.record_id"
    )
    api = SparkAPI(
        spark_session=spark, break_lineage_method="persist", register_udfs_automatically=False
    )
    settings = settings_of(model, sql=_spark_sql)
    linker = Linker(api.register(spark.table("people")), settings, log_level=None)
    for column in FREQUENCIES:
        table = api.register(spark.table(f"frequency_{column}"))
        linker.table_management.register_term_frequency_lookup(table, column)
    linker.table_management.register_blocked_pairs_for_predict(api.register(candidates))
    predicted = linker.inference.predict(warning_mode="never")
    told = _spark_sql(f"select {compared_sql(model)} from {predicted.physical_name}")
    spark.sql(told).createOrReplaceTempView("compared")


@contextmanager
def _session(master: str, exchange: Path) -> Iterator[SparkSession]:
    """Open a session on the cluster that knows our functions."""
    spark = (
        SparkSession.builder.master(master)
        .appName("parcours matching")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    try:
        partitions = max(8, 3 * spark.sparkContext.defaultParallelism)
        spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
        jar = exchange / "likeness.jar"
        _write_jar(spark, jar)
        spark.sql(f"ADD JAR '{_quoted(jar)}'")
        _register(spark)
        yield spark
    finally:
        spark.stop()


def _register(spark: SparkSession) -> None:
    """Make our functions known to SQL.

    By instance: `registerJavaFunction` wants to read type arguments, which Janino leaves out.
    """
    session: Any = spark._jsparkSession
    loader = session.sharedState().jarClassLoader()
    types: Any = spark.sparkContext._jvm.org.apache.spark.sql.types.DataTypes
    for name, (implementation, kind) in _FUNCTIONS.items():
        made = loader.loadClass(f"parcours.{implementation}").newInstance()
        session.udf().register(name, made, getattr(types, kind))


def _write_jar(spark: SparkSession, jar: Path) -> None:
    """Compile our functions with the compiler that comes with Spark."""
    source = (files("identity") / "java" / _SOURCE).read_text(encoding="utf-8")
    jvm: Any = spark.sparkContext._jvm
    compiler = jvm.org.codehaus.janino.SimpleCompiler()
    compiler.cook(source)
    classes = compiler.getBytecodes()
    with zipfile.ZipFile(jar, "w") as archive:
        for name in classes.keySet():
            archive.writestr(f"{name.replace('.', '/')}.class", bytes(classes.get(name)))


def _spark_sql(sql: str) -> str:
    """Write DuckDB's SQL as Spark's, with our functions."""
    tree = sqlglot.parse_one(sql, read="duckdb").transform(_of_spark)
    return str(tree.sql(dialect="spark"))


def _of_spark(node: Any) -> Any:
    """Replace what Spark calls otherwise, and sqlglot does not know that it does."""
    if isinstance(node, exp.JarowinklerSimilarity):
        return exp.func("parcours_jaro_winkler", node.this, node.expression)
    if isinstance(node, exp.Anonymous) and node.name.lower() == "damerau_levenshtein":
        return exp.func("parcours_damerau_levenshtein", *node.expressions)
    if isinstance(node, exp.ArrayOverlaps):
        both = exp.func("array_intersect", node.this, node.expression)
        return exp.GT(this=exp.func("size", both), expression=exp.Literal.number(0))
    if isinstance(node, exp.Anonymous) and node.name.lower() == "list_has_all":
        every, some = node.expressions
        lacking = exp.func("size", exp.func("array_except", some, every))
        return exp.EQ(this=lacking, expression=exp.Literal.number(0))
    return node


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _url(path: Path) -> str:
    return path.absolute().as_uri()
