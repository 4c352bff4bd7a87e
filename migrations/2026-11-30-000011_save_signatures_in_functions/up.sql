-- A released server goes on beside a newer schema, so its functions never change: a save that works differently is a
-- new function, signature_save_2.
--
-- Each statement that looks up rows leaves Postgres only one plan, an index lookup, whatever the statistics say: the
-- order that is asked for is that of one index. Generic plans are made once on a connection; Postgres would often take
-- a plan for the given values for the cheaper one, and plan each save.
--
-- Lock order: the threads, by name if there are several, then the usage counter, which comes last so that it is held for
-- the shortest time.
CREATE FUNCTION signature_save_1(
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
    may_recreate boolean
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
            WHERE t.tenant_id = owner AND t.signature_id = signature_save_1.id AND t.tag <> ALL (draft_tags);
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
                                    signature)
    VALUES (owner, id, version, draft_stage, draft_created_by, draft_comment, draft_tags, draft_encoding, draft_sha256,
            draft_signature);
    -- Tags that stay are not written again.
    INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag)
    SELECT owner, id, created_at, w.tag FROM unnest(draft_tags) AS w (tag) ON CONFLICT DO NOTHING;
    IF verdict IS NOT NULL THEN
        INSERT INTO signature_verdicts (tenant_id, signature_id, version, bytes, verdict)
        VALUES (owner, id, version, verdict_bytes, verdict::jsonb);
    END IF;
    INSERT INTO tenant_usage AS u (tenant_id, bytes, threads, versions, shard)
    VALUES (owner, octet_length(draft_signature) + coalesce(verdict_bytes, 0), (version = 1)::integer, 1,
            (pg_backend_pid() % 64)::smallint)
    ON CONFLICT ON CONSTRAINT tenant_usage_pkey DO UPDATE
    SET bytes = u.bytes + excluded.bytes, threads = u.threads + excluded.threads, versions = u.versions + excluded.versions;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION signature_save_1 IS 'Saves a draft as the next version of its thread, and returns it. It is saved if the current version is its parent (0 if there is no thread); with or_first also over version 1, unless that is the draft itself. Decisions of hooks are recorded in any case, and the verdict with the version. Unless may_recreate, it fails if a thread of that name was deleted before';
REVOKE EXECUTE ON FUNCTION signature_save_1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION signature_save_1 TO sigpersist_server;

-- Many first versions together. Threads are created one by one, and the rest in one statement for each table. Drafts are
-- no rows here: a subscript of each array is cheaper than a row of many columns. A function for one draft as well would
-- make a save of one slower by a tenth, since each argument would be an array.
--
-- The lock timeout is shorter than deadlock_timeout (1 s), after which Postgres would refuse one of two calls that wait
-- for each other.
CREATE FUNCTION signature_create_1(
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
    decisions text[]
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
                                    signature)
    SELECT owner, ids[d.place], 1, stages[d.place], creators[d.place], comments[d.place],
           tags[coalesce(tag_ends[d.place - 1], 0) + 1 : tag_ends[d.place]], encodings[d.place], digests[d.place],
           bodies[d.place]
    FROM generate_subscripts(documents, 1) AS d (place) WHERE ids[d.place] IS NOT NULL;
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
    END IF;
    INSERT INTO tenant_usage AS u (tenant_id, bytes, threads, versions, shard)
    VALUES (owner, added_bytes, added_threads, added_threads, (pg_backend_pid() % 64)::smallint)
    ON CONFLICT ON CONSTRAINT tenant_usage_pkey DO UPDATE
    SET bytes = u.bytes + excluded.bytes, threads = u.threads + excluded.threads, versions = u.versions + excluded.versions;
END
$$;
COMMENT ON FUNCTION signature_create_1 IS 'Saves drafts, one for each element of the arrays, as first versions of new threads, and returns the saved ones with their places. The tags of a draft end at its tag_ends. Decisions of hooks are recorded in any case, and verdicts with the versions. It fails if a thread of one of the names was deleted before';
REVOKE EXECUTE ON FUNCTION signature_create_1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION signature_create_1 TO sigpersist_server;
