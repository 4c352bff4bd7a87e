-- A released server goes on beside a newer schema, so its function never changes: a save that works differently is a
-- new function, signature_save_2.
--
-- Each statement that looks up rows takes single values, and leaves Postgres only one plan, an index lookup, whatever
-- the statistics say: the order that is asked for is that of one index. Drafts are no rows here: a subscript of each
-- array is cheaper than a row of many columns.
--
-- Lock order: the threads by name, then the usage counter, which comes last so that it is held for the shortest time.
-- The lock timeout is shorter than deadlock_timeout (1 s), after which Postgres would refuse one of two calls that wait
-- for each other.
CREATE FUNCTION signature_save_1(
    owner integer,
    documents text[],
    threads text[],
    parents integer[],
    or_first boolean[],
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
    judged_versions integer[],
    inputs text[],
    input_digests bytea[],
    decisions text[],
    may_recreate boolean
) RETURNS TABLE (place integer, id bigint, version integer, created_at timestamptz, updated_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    places integer[] := '{1}';
    wanted text[];
    is_new boolean;
    ids bigint[];
    versions integer[];
    since timestamptz[];
    added_bytes bigint := 0;
    added_threads integer := 0;
    added_versions integer := 0;
BEGIN
    IF cardinality(documents) > 1 THEN
        PERFORM set_config('lock_timeout', '500ms', true);
        -- If several drafts are for one thread, the first gets it.
        places := ARRAY(
            SELECT DISTINCT ON (d.document, d.thread) d.place::integer
            FROM unnest(documents, threads) WITH ORDINALITY AS d (document, thread, place)
            ORDER BY d.document, d.thread, d.place);
    END IF;
    FOREACH place IN ARRAY places LOOP
        id := NULL;
        wanted := tags[coalesce(tag_ends[place - 1], 0) + 1 : tag_ends[place]];
        IF parents[place] >= 1 OR or_first[place] THEN
            -- A second writer waits here until the first commits, looks again, and finds another version.
            UPDATE signatures s SET version = s.version + 1, stage = stages[place], updated_at = now()
            WHERE s.tenant_id = owner AND s.version = greatest(parents[place], 1)
              AND s.id = (
                  SELECT o.id FROM signatures o
                  WHERE o.tenant_id = owner AND (o.document, o.thread) >= (documents[place], threads[place])
                    AND (o.document, o.thread) <= (documents[place], threads[place])
                  ORDER BY o.document, o.thread LIMIT 1)
              -- A scalar, since Postgres would read all first versions of the tenant to answer EXISTS from a hash table.
              AND (NOT or_first[place] OR (
                  SELECT v.sha256 = digests[place] AND v.encoding = encodings[place] AND v.tags = wanted
                     AND v.stage IS NOT DISTINCT FROM stages[place]
                     AND v.created_by IS NOT DISTINCT FROM creators[place]
                     AND v.comment IS NOT DISTINCT FROM comments[place]
                  FROM signature_versions v
                  WHERE v.tenant_id = s.tenant_id AND v.signature_id = s.id AND v.version = 1) IS NOT TRUE)
            RETURNING s.id, s.version, s.created_at, s.updated_at INTO id, version, created_at, updated_at;
            IF id IS NOT NULL THEN
                DELETE FROM signature_tags t
                WHERE t.tenant_id = owner AND t.signature_id = signature_save_1.id AND t.tag <> ALL (wanted);
            END IF;
        END IF;
        IF id IS NULL AND parents[place] = 0 THEN
            INSERT INTO signatures AS s (tenant_id, document, thread, version, stage)
            VALUES (owner, documents[place], threads[place], 1, stages[place])
            ON CONFLICT ON CONSTRAINT signatures_thread_key DO NOTHING
            RETURNING s.id, s.version, s.created_at, s.updated_at INTO id, version, created_at, updated_at;
            -- Fails if a thread of this name was deleted before.
            is_new := id IS NULL OR may_recreate OR not_deleted_before(owner, documents[place], threads[place]);
        END IF;
        CONTINUE WHEN id IS NULL;
        ids[place] := id;
        versions[place] := version;
        since[place] := created_at;
        added_bytes := added_bytes + octet_length(bodies[place]) + coalesce(verdict_bytes[place], 0);
        added_threads := added_threads + (version = 1)::integer;
        added_versions := added_versions + 1;
        RETURN NEXT;
    END LOOP;
    IF decisions IS NOT NULL THEN
        INSERT INTO hook_judgements (tenant_id, version, operation, outcome, document, thread, input_sha256, input, decisions)
        SELECT owner, judged_versions[d.place], 'save', CASE WHEN ids[d.place] IS NULL THEN 'not_stored' ELSE 'accepted' END,
               documents[d.place], threads[d.place], input_digests[d.place], inputs[d.place]::jsonb, decisions[d.place]::jsonb
        FROM generate_subscripts(documents, 1) AS d (place) WHERE decisions[d.place] IS NOT NULL;
    END IF;
    IF added_versions = 0 THEN
        RETURN;
    END IF;
    INSERT INTO signature_versions (tenant_id, signature_id, version, stage, created_by, comment, tags, encoding, sha256,
                                    signature)
    SELECT owner, ids[d.place], versions[d.place], stages[d.place], creators[d.place], comments[d.place],
           tags[coalesce(tag_ends[d.place - 1], 0) + 1 : tag_ends[d.place]], encodings[d.place], digests[d.place],
           bodies[d.place]
    FROM generate_subscripts(documents, 1) AS d (place) WHERE ids[d.place] IS NOT NULL;
    -- Tags that stay are not written again.
    INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag)
    SELECT owner, ids[d.place], since[d.place], w.tag
    FROM generate_subscripts(documents, 1) AS d (place),
         unnest(tags[coalesce(tag_ends[d.place - 1], 0) + 1 : tag_ends[d.place]]) AS w (tag)
    WHERE ids[d.place] IS NOT NULL ON CONFLICT DO NOTHING;
    IF verdicts IS NOT NULL THEN
        INSERT INTO signature_verdicts (tenant_id, signature_id, version, bytes, verdict)
        SELECT owner, ids[d.place], versions[d.place], verdict_bytes[d.place], verdicts[d.place]::jsonb
        FROM generate_subscripts(documents, 1) AS d (place)
        WHERE ids[d.place] IS NOT NULL AND verdicts[d.place] IS NOT NULL;
    END IF;
    INSERT INTO tenant_usage AS u (tenant_id, bytes, threads, versions, shard)
    VALUES (owner, added_bytes, added_threads, added_versions, (pg_backend_pid() % 64)::smallint)
    ON CONFLICT ON CONSTRAINT tenant_usage_pkey DO UPDATE
    SET bytes = u.bytes + excluded.bytes, threads = u.threads + excluded.threads, versions = u.versions + excluded.versions;
END
$$;
COMMENT ON FUNCTION signature_save_1 IS 'Saves drafts, one for each element of the arrays, as the next versions of their threads, and returns the saved ones with their places. A draft is saved if the current version is its parent (0 if there is no thread); with or_first also over version 1, unless that is the draft itself. The tags of a draft end at its tag_ends. Decisions of hooks are recorded in any case, and verdicts with the versions. Unless may_recreate, it fails if a thread of that name was deleted before';
REVOKE EXECUTE ON FUNCTION signature_save_1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION signature_save_1 TO sigpersist_server;
