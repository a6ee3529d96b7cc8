"""DuckDB guesses the columns of NDJSON from the first lines; what it guesses need not fit the next source's.

One source's parameters become a STRUCT, and other parameters are lost or an error. conf/analysts.md names the
columns, `params` as JSON.
"""

import json
import tempfile
from pathlib import Path

import duckdb

with tempfile.TemporaryDirectory() as name:
    file = Path(name) / "clicks.ndjson"
    first = [{"id": str(n), "params": {"a": "1"}} for n in range(30_000)]
    last = [{"id": "last", "params": {"b": ["1", "2"]}}]
    file.write_text("".join(json.dumps(one) + "\n" for one in first + last))
    for options in ("", ", columns = {id: 'VARCHAR', params: 'JSON'}"):
        query = (
            f"SELECT params FROM read_json('{file}', format = 'newline_delimited'{options}) WHERE id = 'last'"
        )
        try:
            print(f"{'guessed' if not options else 'named'}:", duckdb.sql(query).fetchall())
        except duckdb.Error as error:
            print("guessed: error:", str(error).splitlines()[0])
