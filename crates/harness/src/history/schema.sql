-- A worthit history, schema version 1. The primary key of `reading` keeps the readings of each pair together, in the
-- order of runs: a trend reads one range, and adding a run writes to the end of one range per pair.

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    started TEXT NOT NULL, -- RFC 3339
    machine_key TEXT NOT NULL,
    rustc TEXT NOT NULL,
    rustflags TEXT NOT NULL,
    "commit" TEXT,
    dirty INTEGER NOT NULL,
    seed INTEGER NOT NULL, -- an unsigned 64-bit number stored as signed, like line.point
    source TEXT NOT NULL
) STRICT;

CREATE TABLE pair (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE line (
    id INTEGER PRIMARY KEY,
    pair INTEGER NOT NULL REFERENCES pair,
    level TEXT NOT NULL,
    point INTEGER NOT NULL,
    side TEXT NOT NULL,
    quantity TEXT NOT NULL,
    UNIQUE (pair, level, point, side, quantity)
) STRICT;

CREATE TABLE reading (
    pair INTEGER NOT NULL,
    run INTEGER NOT NULL,
    line INTEGER NOT NULL,
    value REAL NOT NULL,
    low REAL NOT NULL,
    high REAL NOT NULL,
    mark TEXT, -- why the reading must not cause a change point
    PRIMARY KEY (pair, run, line)
) STRICT, WITHOUT ROWID;

-- For ad hoc queries: everything in one table.
CREATE VIEW everything AS
SELECT run.key AS run, started, machine_key, rustc, rustflags, "commit", dirty, seed, source,
       pair.name AS pair, level, point, side, quantity, value, low, high, mark
FROM reading
JOIN run ON run.id = reading.run
JOIN pair ON pair.id = reading.pair
JOIN line ON line.id = reading.line;
