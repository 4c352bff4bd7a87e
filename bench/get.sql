-- The server's statement to read the current version of a thread, for pgbench; the thread is a random one of those stored.
-- A test compares it with the statement in crates/store.
\set number random(0, :stored - 1)
SELECT "signatures"."id", "signatures"."document", "signatures"."thread", "signatures"."created_at", "signatures"."updated_at", "signature_versions"."version", "signature_versions"."created_at", "signature_versions"."stage", "signature_versions"."created_by", "signature_versions"."comment", "signature_versions"."tags", "signature_versions"."encoding", "signature_versions"."sha256", "signature_versions"."signature"
FROM ("signatures" INNER JOIN "signature_versions" ON (("signature_versions"."tenant_id" = "signatures"."tenant_id") AND ("signature_versions"."signature_id" = "signatures"."id")))
WHERE (((("signatures"."tenant_id" = 1) AND ("signatures"."document" = lpad(:number::text, 10, '0'))) AND ("signatures"."thread" = 'stored')) AND ("signature_versions"."version" = "signatures"."version"))
LIMIT 1;
