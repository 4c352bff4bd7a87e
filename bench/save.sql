-- The server's call to save a first version, for pgbench, which replaces names after a colon. A test compares it with the
-- call in crates/store.
SELECT place, id, version, created_at, updated_at FROM signature_save_1(owner => 1, documents => ARRAY['bench-' || :client_id || '-' || random()::text], threads => '{bench}', parents => '{0}', or_first => '{f}',
stages => '{NULL}', creators => '{NULL}', comments => '{NULL}', tags => :tags, tag_ends => ARRAY[cardinality(:tags::text[])],
encodings => '{b}', digests => ARRAY[sha256(:signature::bytea)], bodies => ARRAY[:signature::bytea], verdicts => NULL,
verdict_bytes => NULL, judged_versions => NULL, inputs => NULL, input_digests => NULL, decisions => NULL, may_recreate => false);
