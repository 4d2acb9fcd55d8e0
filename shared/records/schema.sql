-- One table for each noun. Money is integer micro-dollars; times are ISO 8601 text in UTC, all of
-- one length; `lots`, `spent`, `limits`, `calls` and `body` are JSON.

CREATE TABLE IF NOT EXISTS accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at TEXT NOT NULL,
    limits TEXT NOT NULL,
    shards INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY,
    key_hash TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    test INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    revoked_at TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS shards (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    number INTEGER NOT NULL,
    lots TEXT NOT NULL,
    minute TEXT NOT NULL,
    minute_count INTEGER NOT NULL,
    day TEXT NOT NULL,
    day_count INTEGER NOT NULL,
    spent TEXT NOT NULL,
    running INTEGER NOT NULL,
    held INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (account_id, number)
) STRICT;

CREATE TABLE IF NOT EXISTS requests (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    status TEXT NOT NULL,
    operation TEXT NOT NULL,
    model TEXT NOT NULL,
    idempotency_key TEXT,
    created_at TEXT NOT NULL,
    lease_until TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    body TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS requests_newest ON requests (account_id, created_at DESC, id DESC);
-- The filters that lists have, each with what most requests are not left out where it can be.
CREATE INDEX IF NOT EXISTS requests_by_operation
ON requests (account_id, operation, created_at DESC, id DESC) WHERE operation <> 'generate';
CREATE INDEX IF NOT EXISTS requests_by_model
ON requests (account_id, model, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS requests_by_status
ON requests (account_id, status, created_at DESC, id DESC) WHERE status <> 'succeeded';
CREATE INDEX IF NOT EXISTS requests_by_key
ON requests (account_id, idempotency_key, created_at DESC, id DESC)
WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS requests_open
ON requests (lease_until) WHERE status IN ('queued', 'running');
DROP INDEX IF EXISTS requests_running;
CREATE INDEX IF NOT EXISTS requests_made
ON requests (account_id, json_extract(body, '$.cache_key')) WHERE status = 'succeeded';

CREATE TABLE IF NOT EXISTS entries (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    micros INTEGER NOT NULL,
    at TEXT NOT NULL,
    request_id TEXT,
    grant_id TEXT,
    expires_at TEXT
) STRICT;

CREATE INDEX IF NOT EXISTS entries_newest ON entries (account_id, at DESC, id DESC);

CREATE TABLE IF NOT EXISTS usage (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    day TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    requests INTEGER NOT NULL,
    images INTEGER NOT NULL,
    micros INTEGER NOT NULL,
    PRIMARY KEY (account_id, day, model, provider)
) STRICT;

CREATE TABLE IF NOT EXISTS meters (
    provider_id TEXT PRIMARY KEY,
    calls TEXT NOT NULL,
    free_day TEXT NOT NULL,
    free_day_count INTEGER NOT NULL,
    free_minute TEXT NOT NULL,
    free_minute_count INTEGER NOT NULL,
    spent_day TEXT NOT NULL,
    spent_micros INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    surface TEXT NOT NULL,
    open INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    due_at TEXT NOT NULL,
    body TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS batches_newest ON batches (account_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS batches_due ON batches (due_at) WHERE open;

CREATE TABLE IF NOT EXISTS notices (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    due_at TEXT NOT NULL,
    body TEXT NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS notices_due ON notices (state, due_at);
