-- Finding threads by who signed them, how they were judged, and when they last changed.

CREATE TABLE signature_terms (
    tenant_id integer NOT NULL,
    signature_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    term text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, signature_id, term),
    FOREIGN KEY (tenant_id, signature_id) REFERENCES signatures (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX signature_terms_newest_idx ON signature_terms (tenant_id, term, created_at, signature_id);
COMMENT ON TABLE signature_terms IS 'Index of who signed a version of a thread, and of the last verdict on its current version';
COMMENT ON COLUMN signature_terms.tenant_id IS 'The owner';
COMMENT ON COLUMN signature_terms.signature_id IS 'The thread';
COMMENT ON COLUMN signature_terms.created_at IS 'When version 1 was saved, repeated so that the index yields the order of lists';
COMMENT ON COLUMN signature_terms.term IS 'iin:, bin:, sha256: or serial: and a value of a signer''s certificate; or verdict: and a word';
GRANT SELECT, INSERT, UPDATE, DELETE ON signature_terms TO sigpersist_server;
ALTER TABLE signature_terms ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON signature_terms USING (tenant_id = current_tenant());

-- Older servers save versions whose signers are indexed later.
ALTER TABLE signature_versions ADD COLUMN signers_indexed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN signature_versions.signers_indexed IS 'Whether its signers are indexed, if there are any';
CREATE INDEX signature_versions_unindexed_idx ON signature_versions (tenant_id, signature_id, version)
    WHERE NOT signers_indexed;
GRANT UPDATE (signers_indexed) ON signature_versions TO sigpersist_server;
-- Yields threads in the order of their last change. An index on signatures (updated_at) would do it, too, but then each
-- save over a version would write all indexes of its thread again. The cast keeps the index for lists: statements that look
-- up a version by its key do not have it.
CREATE INDEX signature_versions_recent_idx ON signature_versions ((tenant_id::bigint), created_at, signature_id);

-- On for tenants that are new from now on.
ALTER TABLE policies ADD COLUMN index_signers boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN policies.index_signers IS 'Whether threads can be found by who signed them';
DO $$
DECLARE
    tenants integer[];
    tenant integer;
BEGIN
    PERFORM set_config('sigpersist.tenant', '0', true);
    tenants := ARRAY(SELECT id FROM tenants);
    FOREACH tenant IN ARRAY tenants LOOP
        PERFORM set_config('sigpersist.tenant', tenant::text, true);
        INSERT INTO policies (tenant_id, accept, record_verdicts, index_signers) VALUES (tenant, 'any', false, false)
        ON CONFLICT (tenant_id) DO UPDATE SET index_signers = false;
    END LOOP;
    PERFORM set_config('sigpersist.tenant', '', true);
END
$$;

-- As signature_save_2 and signature_create_2, which older servers call, and with the terms by which threads are found.
CREATE FUNCTION signature_save_3(
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
    verdict_event text,
    signers text[],
    verdict_term text
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
            WHERE t.tenant_id = owner AND t.signature_id = signature_save_3.id AND t.tag <> ALL (draft_tags);
            -- The terms of signers stay: they signed an earlier version.
            DELETE FROM signature_terms t
            WHERE t.tenant_id = owner AND t.signature_id = signature_save_3.id AND t.term >= 'verdict:' AND t.term < 'verdict;';
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
                                    signature, salt, signers_indexed)
    VALUES (owner, id, version, draft_stage, draft_created_by, draft_comment, draft_tags, draft_encoding, draft_sha256,
            draft_signature, draft_salt, signers IS NOT NULL);
    IF draft_salt IS NOT NULL THEN
        INSERT INTO log_queue (tenant_id, signature_id, version, kind, seal)
        VALUES (owner, id, version, 'v', CASE WHEN or_first AND version = 2 THEN second_seal ELSE draft_seal END);
    END IF;
    -- Tags that stay are not written again.
    INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag)
    SELECT owner, id, created_at, w.tag FROM unnest(draft_tags) AS w (tag) ON CONFLICT DO NOTHING;
    IF cardinality(signers) > 0 OR verdict_term IS NOT NULL THEN
        INSERT INTO signature_terms (tenant_id, signature_id, created_at, term)
        SELECT owner, id, created_at, w.term FROM unnest(signers || verdict_term) AS w (term)
        WHERE w.term IS NOT NULL ON CONFLICT DO NOTHING;
    END IF;
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
COMMENT ON FUNCTION signature_save_3 IS 'Saves a draft as the next version of its thread, and returns it. It is saved if the current version is its parent (0 if there is no thread); with or_first also over version 1, unless that is the draft itself. Decisions of hooks are recorded in any case, and the verdict with the version. Unless may_recreate, it fails if a thread of that name was deleted before. With a salt, the version is queued for the log; second_seal is its seal if it becomes version 2. The thread is found by the terms of its signers, which are null if they are not to be indexed, and by the term of the verdict';
REVOKE EXECUTE ON FUNCTION signature_save_3 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION signature_save_3 TO sigpersist_server;

CREATE FUNCTION signature_create_3(
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
    verdict_events text[],
    terms text[],
    term_ends integer[],
    index_signers boolean[]
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
                                    signature, salt, signers_indexed)
    SELECT owner, ids[d.place], 1, stages[d.place], creators[d.place], comments[d.place],
           tags[coalesce(tag_ends[d.place - 1], 0) + 1 : tag_ends[d.place]], encodings[d.place], digests[d.place],
           bodies[d.place], salts[d.place], index_signers[d.place]
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
    IF cardinality(terms) > 0 THEN
        INSERT INTO signature_terms (tenant_id, signature_id, created_at, term)
        SELECT owner, ids[d.place], since[d.place], w.term
        FROM generate_subscripts(documents, 1) AS d (place),
             unnest(terms[coalesce(term_ends[d.place - 1], 0) + 1 : term_ends[d.place]]) AS w (term)
        WHERE ids[d.place] IS NOT NULL;
    END IF;
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
COMMENT ON FUNCTION signature_create_3 IS 'Saves drafts, one for each element of the arrays, as first versions of new threads, and returns the saved ones with their places. The tags of a draft end at its tag_ends. Decisions of hooks are recorded in any case, and verdicts with the versions. It fails if a thread of one of the names was deleted before. With salts, the versions are queued for the log. Threads are found by their terms, which for each draft end at its term_ends';
REVOKE EXECUTE ON FUNCTION signature_create_3 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION signature_create_3 TO sigpersist_server;
