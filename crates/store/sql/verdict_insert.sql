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
