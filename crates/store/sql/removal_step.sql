-- signature_tags
WITH
gone AS (
  DELETE FROM signature_tags
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM signature_tags WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- signature_terms
WITH
gone AS (
  DELETE FROM signature_terms
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM signature_terms WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- signature_verdicts
WITH
gone AS (
  DELETE FROM signature_verdicts
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM
            (SELECT ctid, (bytes)::bigint AS size FROM signature_verdicts WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (bytes)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- signature_versions
WITH
gone AS (
  DELETE FROM signature_versions
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (
            SELECT ctid, (octet_length(signature))::bigint AS size
            FROM signature_versions
            WHERE tenant_id = $1
            LIMIT $2
          ) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (octet_length(signature))::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- signatures
WITH
gone AS (
  DELETE FROM signatures
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM signatures WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- hook_judgements
WITH
gone AS (
  DELETE FROM hook_judgements
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (
            SELECT ctid, (pg_column_size(input) + pg_column_size(decisions))::bigint AS size
            FROM hook_judgements
            WHERE tenant_id = $1
            LIMIT $2
          ) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (pg_column_size(input) + pg_column_size(decisions))::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- hook_inputs
WITH
gone AS (
  DELETE FROM hook_inputs
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (
            SELECT ctid, (octet_length(signature))::bigint AS size
            FROM hook_inputs
            WHERE tenant_id = $1
            LIMIT $2
          ) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (octet_length(signature))::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- hooks
WITH
gone AS (
  DELETE FROM hooks
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM hooks WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- hook_bindings
WITH
gone AS (
  DELETE FROM hook_bindings
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (
            SELECT ctid, (pg_column_size(settings))::bigint AS size
            FROM hook_bindings
            WHERE tenant_id = $1
            LIMIT $2
          ) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (pg_column_size(settings))::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- plugin_revisions
WITH
gone AS (
  DELETE FROM plugin_revisions
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (
            SELECT ctid, (octet_length(component))::bigint AS size
            FROM plugin_revisions
            WHERE plugin_id IN (SELECT id FROM plugins WHERE tenant_id = $1)
            LIMIT $2
          ) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (octet_length(component))::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- plugins
WITH
gone AS (
  DELETE FROM plugins
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM plugins WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- keys
WITH
gone AS (
  DELETE FROM keys
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM keys WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- log_cosignatures
WITH
gone AS (
  DELETE FROM log_cosignatures
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM log_cosignatures WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- log_witnesses
WITH
gone AS (
  DELETE FROM log_witnesses
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM log_witnesses WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- log_checkpoints
WITH
gone AS (
  DELETE FROM log_checkpoints
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM log_checkpoints WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- log_queue
WITH
gone AS (
  DELETE FROM log_queue
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM log_queue WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- log_entries
WITH
gone AS (
  DELETE FROM log_entries
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM log_entries WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- log_nodes
WITH
gone AS (
  DELETE FROM log_nodes
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM log_nodes WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- log_epochs
WITH
gone AS (
  DELETE FROM log_epochs
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM log_epochs WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;

-- log_settings
WITH
gone AS (
  DELETE FROM log_settings
  WHERE
    ctid = ANY (
      ARRAY(
        SELECT ctid
        FROM (
          SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before
          FROM (SELECT ctid, (0)::bigint AS size FROM log_settings WHERE tenant_id = $1 LIMIT $2) AS own
        ) AS weighed
        WHERE before < $3
      )
    )
  RETURNING (0)::bigint AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes
FROM gone;
