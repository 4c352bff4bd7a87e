WITH
recorded AS (
  INSERT INTO signature_verdicts (tenant_id, signature_id, version, bytes, verdict)
  SELECT tenant_id, signature_id, version, $4, $5::jsonb
  FROM signature_versions
  WHERE
    tenant_id = $1
    AND signature_id = $2
    AND version = $3
    AND (
      SELECT count(*)
      FROM signature_verdicts
      WHERE tenant_id = $1
        AND signature_id = $2 AND version = $3
    ) < $6
  RETURNING tenant_id, id, version, at, bytes, verdict
),
logged AS (
  INSERT INTO log_queue (tenant_id, signature_id, version, kind, event, salt, seal)
  SELECT tenant_id, $2, version, 'j', $7, $8, $9
  FROM recorded
  WHERE $8 IS NOT NULL
),
current AS MATERIALIZED (
  SELECT s.tenant_id, s.id, s.created_at
  FROM signatures s
  WHERE s.tenant_id = $1 AND s.id = $2 AND s.version = $3 AND EXISTS (SELECT FROM recorded)
  FOR SHARE
),
other AS (
  DELETE FROM signature_terms t
  USING current
  WHERE
    t.tenant_id = $1
    AND t.signature_id = $2
    AND t.term >= 'verdict:'
    AND t.term < 'verdict;'
    AND t.term <> $10
),
found AS (
  INSERT INTO signature_terms (tenant_id, signature_id, created_at, term)
  SELECT tenant_id, id, created_at, $10
  FROM current
  ON CONFLICT DO NOTHING
),
counted AS (
  INSERT INTO tenant_usage (tenant_id, bytes, threads, versions, shard)
  SELECT tenant_id, bytes, 0, 0, (pg_backend_pid() % 64)::smallint
  FROM recorded
  ON CONFLICT (tenant_id, shard) DO UPDATE SET
    bytes = tenant_usage.bytes + excluded.bytes,
    threads = tenant_usage.threads + excluded.threads,
    versions = tenant_usage.versions + excluded.versions
)
SELECT id, version, at, verdict
FROM recorded;
