-- Each tenant has a log: a Merkle tree (RFC 6962) whose entries say what happened to it, in order. What happens is put
-- into a queue within its own transaction, which takes no lock that others wait for. One server at a time moves the
-- queue into the logs. An entry's number in its log is also the cursor of those who follow what happens: numbers have no
-- gap, and whoever has read up to a number has missed nothing before it.
--
-- An entry holds a seal instead of what it is about: a hash over the SHA-256 of its object and over what else belongs to
-- it, with a random salt. Without the salt, which goes when the object is deleted, nobody can guess from the log what it
-- was.
ALTER TABLE signature_versions ADD COLUMN salt bytea;
COMMENT ON COLUMN signature_versions.salt IS 'Random bytes in the seal of the version''s entry in the log; null until the version is logged';
-- Finds versions that are not logged yet: those from before, and those of older servers. It is empty once all are. Reads
-- continue while it is created; saves wait.
CREATE INDEX signature_versions_unlogged_idx ON signature_versions (tenant_id, signature_id, version) WHERE salt IS NULL;
-- Rows are never changed otherwise.
GRANT UPDATE (salt) ON signature_versions TO sigpersist_server;

CREATE TABLE log_queue (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signature_id bigint,
    at timestamptz NOT NULL DEFAULT now(),
    tenant_id integer NOT NULL,
    version integer,
    kind "char" NOT NULL,
    seal bytea NOT NULL,
    salt bytea,
    event text
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
COMMENT ON TABLE log_queue IS 'What happened and is not in a log yet. Whoever adds a row has written another row before in its transaction, so that it has a transaction id before it draws an id here';
COMMENT ON COLUMN log_queue.id IS 'Orders the rows: what was committed before another transaction began has a lower id than its rows';
COMMENT ON COLUMN log_queue.signature_id IS 'The thread, if it is about one';
COMMENT ON COLUMN log_queue.at IS 'When it happened';
COMMENT ON COLUMN log_queue.tenant_id IS 'Whose log it goes into: a tenant''s, or 0 for the platform''s';
COMMENT ON COLUMN log_queue.version IS 'The version, if it is about one';
COMMENT ON COLUMN log_queue.kind IS 'What happened: v, a version was saved; b, it was stored before there was a log; i, it was imported; d, a thread was deleted; j, a verdict was recorded; c, something else changed; a, the heads of other records of the day; n, the log goes on after another one; h, the head of a tenant''s log';
COMMENT ON COLUMN log_queue.seal IS 'SHA-256 over the SHA-256 of its object and over that of its metadata, the lesser first';
COMMENT ON COLUMN log_queue.salt IS 'The salt in its metadata; of versions it is with the version';
COMMENT ON COLUMN log_queue.event IS 'Its object, as JSON; of versions the signature is the object';

CREATE TABLE log_entries (
    tenant_id integer NOT NULL,
    version integer,
    number bigint NOT NULL,
    signature_id bigint,
    at timestamptz NOT NULL,
    kind "char" NOT NULL,
    seal bytea NOT NULL,
    leaf bytea NOT NULL,
    salt bytea,
    event text,
    refs bigint[],
    PRIMARY KEY (tenant_id, number)
);
-- With the number at its end, it yields the order that is asked for: sessions leave Postgres no plan that sorts.
CREATE INDEX log_entries_signature_idx ON log_entries (tenant_id, signature_id, version, number) WHERE signature_id IS NOT NULL;
COMMENT ON TABLE log_entries IS 'The entries of all logs. They outlive the threads that they are about';
COMMENT ON COLUMN log_entries.tenant_id IS 'Whose log it is: a tenant''s, or 0 for the platform''s';
COMMENT ON COLUMN log_entries.version IS 'As in the queue';
COMMENT ON COLUMN log_entries.number IS 'Counts the entries of a tenant, from 1';
COMMENT ON COLUMN log_entries.signature_id IS 'As in the queue';
COMMENT ON COLUMN log_entries.at IS 'As in the queue';
COMMENT ON COLUMN log_entries.kind IS 'As in the queue';
COMMENT ON COLUMN log_entries.seal IS 'As in the queue';
COMMENT ON COLUMN log_entries.leaf IS 'The hash of the entry as a leaf (RFC 6962 section 2.1)';
COMMENT ON COLUMN log_entries.salt IS 'As in the queue; null once it is erased';
COMMENT ON COLUMN log_entries.event IS 'As in the queue; null once it is erased';
COMMENT ON COLUMN log_entries.refs IS 'Of a deletion, the numbers of the entries about its thread';

CREATE TABLE log_nodes (
    tenant_id integer NOT NULL,
    epoch smallint NOT NULL,
    level smallint NOT NULL,
    number bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (tenant_id, epoch, level, number)
);
COMMENT ON TABLE log_nodes IS 'Inner nodes of the trees: the root of each full subtree of 256, 65536, and so on, leaves';
COMMENT ON COLUMN log_nodes.tenant_id IS 'Whose log it is';
COMMENT ON COLUMN log_nodes.epoch IS 'The epoch';
COMMENT ON COLUMN log_nodes.level IS 'Its height: 1 for 256 leaves, 2 for 65536, and so on';
COMMENT ON COLUMN log_nodes.number IS 'Counts the nodes of a level, from 0';
COMMENT ON COLUMN log_nodes.hash IS 'Its hash';

CREATE TABLE log_epochs (
    tenant_id integer NOT NULL,
    epoch smallint NOT NULL,
    origin text NOT NULL CONSTRAINT log_epochs_origin_key UNIQUE,
    first bigint NOT NULL,
    size bigint NOT NULL,
    edge bytea NOT NULL,
    root bytea NOT NULL,
    checkpoint text,
    at timestamptz NOT NULL,
    closed_at timestamptz,
    frozen_at timestamptz,
    frozen_why text,
    seen bigint,
    PRIMARY KEY (tenant_id, epoch)
) WITH (fillfactor = 25);
CREATE INDEX log_epochs_frozen_idx ON log_epochs (tenant_id) WHERE frozen_at IS NOT NULL AND closed_at IS NULL;
COMMENT ON TABLE log_epochs IS 'The trees of each log. A tenant has one; another one begins after an import, or after the database went back in time';
COMMENT ON COLUMN log_epochs.tenant_id IS 'Whose log it is: a tenant''s, or 0 for the platform''s';
COMMENT ON COLUMN log_epochs.epoch IS 'Counts the trees of a log, from 1';
COMMENT ON COLUMN log_epochs.origin IS 'The name of the tree in its checkpoints, which tells nothing about the tenant';
COMMENT ON COLUMN log_epochs.first IS 'The number of its first entry';
COMMENT ON COLUMN log_epochs.size IS 'How many entries it has';
COMMENT ON COLUMN log_epochs.edge IS 'The roots of the perfect subtrees that it consists of, the largest first: what is needed to append to it';
COMMENT ON COLUMN log_epochs.root IS 'The root of the tree';
COMMENT ON COLUMN log_epochs.checkpoint IS 'The last signed checkpoint (C2SP tlog-checkpoint)';
COMMENT ON COLUMN log_epochs.at IS 'When it last grew';
COMMENT ON COLUMN log_epochs.closed_at IS 'When another one took its place';
COMMENT ON COLUMN log_epochs.frozen_at IS 'When it was found that the database went back in time: nothing is added or signed from then on';
COMMENT ON COLUMN log_epochs.frozen_why IS 'What was found, for people';
COMMENT ON COLUMN log_epochs.seen IS 'How many entries it was seen to have before it was frozen: the numbers of lost ones are not given again';

CREATE TABLE log_keys (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    not_after timestamptz,
    public_key bytea NOT NULL,
    encrypted_secret bytea NOT NULL
);
COMMENT ON TABLE log_keys IS 'Keys that sign checkpoints (Ed25519). All that are in force sign';
COMMENT ON COLUMN log_keys.id IS 'Counts the keys, from 1';
COMMENT ON COLUMN log_keys.created_at IS 'When the key was made';
COMMENT ON COLUMN log_keys.not_after IS 'Until when it signs; null for the newest';
COMMENT ON COLUMN log_keys.public_key IS 'The public key (RFC 8032)';
COMMENT ON COLUMN log_keys.encrypted_secret IS 'The secret key, encrypted with AES-256-GCM under the master key';

GRANT SELECT, INSERT, UPDATE (salt, event), DELETE ON log_queue, log_entries TO sigpersist_server;
GRANT SELECT, INSERT, DELETE ON log_nodes TO sigpersist_server;
GRANT SELECT, INSERT, UPDATE, DELETE ON log_epochs TO sigpersist_server;
GRANT SELECT, INSERT, UPDATE (not_after, encrypted_secret) ON log_keys TO sigpersist_server;
-- The sequencer looks which ids were drawn.
GRANT SELECT ON SEQUENCE log_queue_id_seq TO sigpersist_server;

ALTER TABLE log_queue ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log_queue USING (tenant_id = current_tenant());
CREATE POLICY platform ON log_queue USING (current_tenant() = 0);
-- The platform adds entries to all logs, and reads its own.
ALTER TABLE log_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log_entries USING (tenant_id = current_tenant());
CREATE POLICY platform ON log_entries FOR INSERT WITH CHECK (current_tenant() = 0);
ALTER TABLE log_nodes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log_nodes USING (tenant_id = current_tenant());
CREATE POLICY platform ON log_nodes FOR INSERT WITH CHECK (current_tenant() = 0);
ALTER TABLE log_epochs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log_epochs USING (tenant_id = current_tenant());
CREATE POLICY platform ON log_epochs USING (current_tenant() = 0);
ALTER TABLE log_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY platform ON log_keys USING (current_tenant() = 0);

-- As signature_save_1 and signature_create_1, which older servers call, and with what is put into the queue. The lock
-- order is the same: nobody else waits for a new row of the queue.
CREATE FUNCTION signature_save_2(
    owner integer,
    draft_document text,
    draft_thread text,
    parent integer,
    or_first boolean,
    draft_stage text,
    draft_created_by text,
    draft_comment text,
    draft_tags text[],
    draft_encoding "char",
    draft_sha256 bytea,
    draft_signature bytea,
    verdict text,
    verdict_bytes integer,
    judged_version integer,
    judged_input text,
    judged_sha256 bytea,
    decisions text,
    may_recreate boolean,
    draft_salt bytea,
    draft_seal bytea,
    second_seal bytea,
    verdict_salt bytea,
    verdict_seal bytea,
    verdict_event text
) RETURNS TABLE (id bigint, version integer, created_at timestamptz, updated_at timestamptz)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    is_new boolean;
BEGIN
    IF parent >= 1 OR or_first THEN
        -- A second writer waits here until the first commits, looks again, and finds another version. The first version
        -- is compared as a scalar, since Postgres would read all first versions of the tenant to answer EXISTS from a
        -- hash table.
        UPDATE signatures s SET version = s.version + 1, stage = draft_stage, updated_at = now()
        WHERE s.tenant_id = owner AND s.version = greatest(parent, 1)
          AND s.id = (
              SELECT o.id FROM signatures o
              WHERE o.tenant_id = owner AND (o.document, o.thread) >= (draft_document, draft_thread)
                AND (o.document, o.thread) <= (draft_document, draft_thread)
              ORDER BY o.document, o.thread LIMIT 1)
          AND (NOT or_first OR (
              SELECT v.sha256 = draft_sha256 AND v.encoding = draft_encoding AND v.tags = draft_tags
                 AND v.stage IS NOT DISTINCT FROM draft_stage
                 AND v.created_by IS NOT DISTINCT FROM draft_created_by
                 AND v.comment IS NOT DISTINCT FROM draft_comment
              FROM signature_versions v
              WHERE v.tenant_id = s.tenant_id AND v.signature_id = s.id AND v.version = 1) IS NOT TRUE)
        RETURNING s.id, s.version, s.created_at, s.updated_at INTO id, version, created_at, updated_at;
        IF id IS NOT NULL THEN
            DELETE FROM signature_tags t
            WHERE t.tenant_id = owner AND t.signature_id = signature_save_2.id AND t.tag <> ALL (draft_tags);
        END IF;
    END IF;
    IF id IS NULL AND parent = 0 THEN
        INSERT INTO signatures AS s (tenant_id, document, thread, version, stage)
        VALUES (owner, draft_document, draft_thread, 1, draft_stage)
        ON CONFLICT ON CONSTRAINT signatures_thread_key DO NOTHING
        RETURNING s.id, s.version, s.created_at, s.updated_at INTO id, version, created_at, updated_at;
        -- Fails if a thread of this name was deleted before.
        is_new := id IS NULL OR may_recreate OR not_deleted_before(owner, draft_document, draft_thread);
    END IF;
    IF decisions IS NOT NULL THEN
        INSERT INTO hook_judgements (tenant_id, version, operation, outcome, document, thread, input_sha256, input, decisions)
        VALUES (owner, judged_version, 'save', CASE WHEN id IS NULL THEN 'not_stored' ELSE 'accepted' END, draft_document,
                draft_thread, judged_sha256, judged_input::jsonb, decisions::jsonb);
    END IF;
    IF id IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO signature_versions (tenant_id, signature_id, version, stage, created_by, comment, tags, encoding, sha256,
                                    signature, salt)
    VALUES (owner, id, version, draft_stage, draft_created_by, draft_comment, draft_tags, draft_encoding, draft_sha256,
            draft_signature, draft_salt);
    IF draft_salt IS NOT NULL THEN
        INSERT INTO log_queue (tenant_id, signature_id, version, kind, seal)
        VALUES (owner, id, version, 'v', CASE WHEN or_first AND version = 2 THEN second_seal ELSE draft_seal END);
    END IF;
    -- Tags that stay are not written again.
    INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag)
    SELECT owner, id, created_at, w.tag FROM unnest(draft_tags) AS w (tag) ON CONFLICT DO NOTHING;
    IF verdict IS NOT NULL THEN
        INSERT INTO signature_verdicts (tenant_id, signature_id, version, bytes, verdict)
        VALUES (owner, id, version, verdict_bytes, verdict::jsonb);
        IF verdict_salt IS NOT NULL THEN
            INSERT INTO log_queue (tenant_id, signature_id, version, kind, seal, salt, event)
            VALUES (owner, id, version, 'j', verdict_seal, verdict_salt, verdict_event);
        END IF;
    END IF;
    INSERT INTO tenant_usage AS u (tenant_id, bytes, threads, versions, shard)
    VALUES (owner, octet_length(draft_signature) + coalesce(verdict_bytes, 0), (version = 1)::integer, 1,
            (pg_backend_pid() % 64)::smallint)
    ON CONFLICT ON CONSTRAINT tenant_usage_pkey DO UPDATE
    SET bytes = u.bytes + excluded.bytes, threads = u.threads + excluded.threads, versions = u.versions + excluded.versions;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION signature_save_2 IS 'Saves a draft as the next version of its thread, and returns it. It is saved if the current version is its parent (0 if there is no thread); with or_first also over version 1, unless that is the draft itself. Decisions of hooks are recorded in any case, and the verdict with the version. Unless may_recreate, it fails if a thread of that name was deleted before. With a salt, the version is queued for the log; second_seal is its seal if it becomes version 2';
REVOKE EXECUTE ON FUNCTION signature_save_2 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION signature_save_2 TO sigpersist_server;

CREATE FUNCTION signature_create_2(
    owner integer,
    documents text[],
    threads text[],
    stages text[],
    creators text[],
    comments text[],
    tags text[],
    tag_ends integer[],
    encodings "char"[],
    digests bytea[],
    bodies bytea[],
    verdicts text[],
    verdict_bytes integer[],
    inputs text[],
    input_digests bytea[],
    decisions text[],
    salts bytea[],
    seals bytea[],
    verdict_salts bytea[],
    verdict_seals bytea[],
    verdict_events text[]
) RETURNS TABLE (place integer, id bigint, created_at timestamptz)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    is_new boolean;
    ids bigint[];
    since timestamptz[];
    added_bytes bigint := 0;
    added_threads integer := 0;
BEGIN
    PERFORM set_config('lock_timeout', '500ms', true);
    -- If several drafts are for one thread, the first gets it.
    FOR place IN
        SELECT DISTINCT ON (d.document, d.thread) d.place
        FROM unnest(documents, threads) WITH ORDINALITY AS d (document, thread, place)
        ORDER BY d.document, d.thread, d.place
    LOOP
        INSERT INTO signatures AS s (tenant_id, document, thread, version, stage)
        VALUES (owner, documents[place], threads[place], 1, stages[place])
        ON CONFLICT ON CONSTRAINT signatures_thread_key DO NOTHING
        RETURNING s.id, s.created_at INTO id, created_at;
        CONTINUE WHEN id IS NULL;
        -- Fails if a thread of this name was deleted before.
        is_new := not_deleted_before(owner, documents[place], threads[place]);
        ids[place] := id;
        since[place] := created_at;
        added_bytes := added_bytes + octet_length(bodies[place]) + coalesce(verdict_bytes[place], 0);
        added_threads := added_threads + 1;
        RETURN NEXT;
    END LOOP;
    IF decisions IS NOT NULL THEN
        INSERT INTO hook_judgements (tenant_id, version, operation, outcome, document, thread, input_sha256, input, decisions)
        SELECT owner, 1, 'save', CASE WHEN ids[d.place] IS NULL THEN 'not_stored' ELSE 'accepted' END,
               documents[d.place], threads[d.place], input_digests[d.place], inputs[d.place]::jsonb, decisions[d.place]::jsonb
        FROM generate_subscripts(documents, 1) AS d (place) WHERE decisions[d.place] IS NOT NULL;
    END IF;
    IF added_threads = 0 THEN
        RETURN;
    END IF;
    INSERT INTO signature_versions (tenant_id, signature_id, version, stage, created_by, comment, tags, encoding, sha256,
                                    signature, salt)
    SELECT owner, ids[d.place], 1, stages[d.place], creators[d.place], comments[d.place],
           tags[coalesce(tag_ends[d.place - 1], 0) + 1 : tag_ends[d.place]], encodings[d.place], digests[d.place],
           bodies[d.place], salts[d.place]
    FROM generate_subscripts(documents, 1) AS d (place) WHERE ids[d.place] IS NOT NULL;
    IF salts IS NOT NULL THEN
        INSERT INTO log_queue (tenant_id, signature_id, version, kind, seal)
        SELECT owner, ids[d.place], 1, 'v', seals[d.place]
        FROM generate_subscripts(documents, 1) AS d (place) WHERE ids[d.place] IS NOT NULL;
    END IF;
    INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag)
    SELECT owner, ids[d.place], since[d.place], w.tag
    FROM generate_subscripts(documents, 1) AS d (place),
         unnest(tags[coalesce(tag_ends[d.place - 1], 0) + 1 : tag_ends[d.place]]) AS w (tag)
    WHERE ids[d.place] IS NOT NULL;
    IF verdicts IS NOT NULL THEN
        INSERT INTO signature_verdicts (tenant_id, signature_id, version, bytes, verdict)
        SELECT owner, ids[d.place], 1, verdict_bytes[d.place], verdicts[d.place]::jsonb
        FROM generate_subscripts(documents, 1) AS d (place)
        WHERE ids[d.place] IS NOT NULL AND verdicts[d.place] IS NOT NULL;
        IF verdict_salts IS NOT NULL THEN
            INSERT INTO log_queue (tenant_id, signature_id, version, kind, seal, salt, event)
            SELECT owner, ids[d.place], 1, 'j', verdict_seals[d.place], verdict_salts[d.place], verdict_events[d.place]
            FROM generate_subscripts(documents, 1) AS d (place)
            WHERE ids[d.place] IS NOT NULL AND verdict_salts[d.place] IS NOT NULL;
        END IF;
    END IF;
    INSERT INTO tenant_usage AS u (tenant_id, bytes, threads, versions, shard)
    VALUES (owner, added_bytes, added_threads, added_threads, (pg_backend_pid() % 64)::smallint)
    ON CONFLICT ON CONSTRAINT tenant_usage_pkey DO UPDATE
    SET bytes = u.bytes + excluded.bytes, threads = u.threads + excluded.threads, versions = u.versions + excluded.versions;
END
$$;
COMMENT ON FUNCTION signature_create_2 IS 'Saves drafts, one for each element of the arrays, as first versions of new threads, and returns the saved ones with their places. The tags of a draft end at its tag_ends. Decisions of hooks are recorded in any case, and verdicts with the versions. It fails if a thread of one of the names was deleted before. With salts, the versions are queued for the log';
REVOKE EXECUTE ON FUNCTION signature_create_2 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION signature_create_2 TO sigpersist_server;
