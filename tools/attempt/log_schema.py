"""Tables and indexes of the log of attempts, as statements that can be run repeatedly."""

TABLES = """
    CREATE TABLE IF NOT EXISTS auth_attempt (
        -- What has a fixed width first, the wide before the narrow: nothing is padded.
        id bigserial PRIMARY KEY,
        count bigint NOT NULL DEFAULT 1,
        first_seen timestamp NOT NULL,
        last_seen timestamp NOT NULL,
        user_id integer,
        integration_id integer,
        key_id integer,
        similar_key_id integer,
        bucket bytea NOT NULL,
        outcome varchar NOT NULL,
        cause varchar,
        channel varchar NOT NULL,
        auth_type varchar,
        login varchar,
        attribution varchar,
        remote_addr varchar,
        user_agent varchar,
        database varchar,
        reference varchar,
        operation varchar
    );
    ALTER TABLE auth_attempt ADD COLUMN IF NOT EXISTS operation varchar;  -- 19.0.1.2.0
    ALTER TABLE auth_attempt ADD COLUMN IF NOT EXISTS similar_key_id integer;
    CREATE TABLE IF NOT EXISTS auth_attempt_daily_key (
        id integer PRIMARY KEY,
        day date NOT NULL,
        value varchar NOT NULL
    );
    -- How many rows were made, see tools/attempt/flood_limits.py. A crash may empty it.
    CREATE UNLOGGED TABLE IF NOT EXISTS auth_attempt_budget (
        name varchar PRIMARY KEY,
        start timestamp NOT NULL,
        rows integer NOT NULL
    );
    -- Rows since then were added to only at another time: exports look there again.
    CREATE TABLE IF NOT EXISTS auth_attempt_late (
        since timestamp NOT NULL,
        at timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
    );
"""

# No index has the count: another attempt in the same second changes no index.
INDEXES = """
    CREATE UNIQUE INDEX IF NOT EXISTS auth_attempt_bucket_key ON auth_attempt (bucket);
    CREATE INDEX IF NOT EXISTS auth_attempt_last_seen_idx
        ON auth_attempt (last_seen DESC, id DESC);
    CREATE INDEX IF NOT EXISTS auth_attempt_integration_idx
        ON auth_attempt (integration_id, outcome, last_seen DESC)
        WHERE integration_id IS NOT NULL;
    CREATE INDEX IF NOT EXISTS auth_attempt_user_idx
        ON auth_attempt (user_id, last_seen DESC) WHERE user_id IS NOT NULL;
    CREATE INDEX IF NOT EXISTS auth_attempt_key_idx
        ON auth_attempt (key_id, last_seen DESC) WHERE key_id IS NOT NULL;
    CREATE INDEX IF NOT EXISTS auth_attempt_reference_idx
        ON auth_attempt (reference varchar_pattern_ops) WHERE reference IS NOT NULL;
    CREATE INDEX IF NOT EXISTS auth_attempt_login_idx
        ON auth_attempt (login varchar_pattern_ops) WHERE login IS NOT NULL;
    CREATE INDEX IF NOT EXISTS auth_attempt_remote_addr_idx
        ON auth_attempt (remote_addr varchar_pattern_ops) WHERE remote_addr IS NOT NULL;
    CREATE INDEX IF NOT EXISTS auth_attempt_cause_idx
        ON auth_attempt (cause, last_seen DESC, id DESC) WHERE cause IS NOT NULL;
    CREATE INDEX IF NOT EXISTS auth_attempt_channel_idx ON auth_attempt (channel);
    -- For incidents: the rejected calls of a key, and whether their hosts have succeeded since.
    CREATE INDEX IF NOT EXISTS auth_attempt_key_failure_idx
        ON auth_attempt (key_id, last_seen DESC)
        WHERE key_id IS NOT NULL AND outcome = 'failure';
    CREATE INDEX IF NOT EXISTS auth_attempt_host_success_idx
        ON auth_attempt (integration_id, remote_addr, last_seen DESC)
        WHERE integration_id IS NOT NULL AND outcome = 'success';
    -- For findings: who still calls with what has ended.
    CREATE INDEX IF NOT EXISTS auth_attempt_archived_user_call_idx
        ON auth_attempt (last_seen, user_id)
        WHERE cause = 'user_archived' AND user_id IS NOT NULL
            AND auth_type IS DISTINCT FROM 'verify';
    CREATE INDEX IF NOT EXISTS auth_attempt_ended_key_called_idx
        ON auth_attempt (last_seen, key_id)
        WHERE cause IN ('key_copied', 'key_expired', 'key_revoked', 'key_superseded')
            AND key_id IS NOT NULL AND auth_type IS DISTINCT FROM 'verify';
"""

FORMER_INDEXES = """
    DROP INDEX IF EXISTS auth_attempt_time_idx;
    DROP INDEX IF EXISTS auth_attempt_new_failure_idx;
    DROP INDEX IF EXISTS auth_attempt_archived_user_idx;
    DROP INDEX IF EXISTS auth_attempt_ended_key_idx;
    DROP INDEX IF EXISTS auth_attempt_ended_key_call_idx;
"""
