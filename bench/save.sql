-- The server's call to save a first version, for pgbench, which replaces names after a colon. A test compares it with the
-- call in crates/store.
SELECT id, version, created_at, updated_at FROM signature_save_3(owner => 1,
draft_document => 'bench-' || :client_id || '-' || random()::text, draft_thread => 'bench', parent => 0, or_first => false,
draft_stage => NULL, draft_created_by => NULL, draft_comment => NULL, draft_tags => :tags, draft_encoding => 'b',
draft_sha256 => sha256(:signature::bytea), draft_signature => :signature, verdict => NULL, verdict_bytes => NULL,
judged_version => NULL, judged_input => NULL, judged_sha256 => NULL, decisions => NULL, may_recreate => false,
draft_salt => uuid_send(gen_random_uuid()), draft_seal => sha256('seal'), second_seal => NULL, verdict_salt => NULL,
verdict_seal => NULL, verdict_event => NULL, signers => :signers, verdict_term => NULL);
