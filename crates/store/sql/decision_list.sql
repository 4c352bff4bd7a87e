WITH
found AS MATERIALIZED (
  SELECT
    j.at,
    j.id,
    j.version,
    j.operation,
    j.outcome,
    j.document,
    j.thread,
    j.input_sha256,
    j.input,
    d.ordinality - 1 AS place,
    d.value AS decision,
    CASE WHEN d.value ->> 'shadow' = 'true' THEN j.decisions -> d.ordinality::integer END AS following
  FROM (
    SELECT *
    FROM hook_judgements
    WHERE
      tenant_id = $1
      AND ($2 IS NULL OR document = $2 AND thread = $3)
      AND ($4 IS NULL OR at >= $4)
      AND ($5 IS NULL OR at < $5)
      AND ($6 IS NULL OR (at, id) <= ($6, $7))
    ORDER BY at DESC, id DESC
    LIMIT $8
  ) j
    CROSS JOIN LATERAL jsonb_array_elements(j.decisions)
  WITH ORDINALITY AS d (value, ordinality)
  WHERE
    ($10 IS NULL OR j.document = $10)
    AND ($11 IS NULL OR j.outcome = $11)
    AND ($12 IS NULL OR j.input -> 'circumstances' ->> 'subject' = $12)
    AND j.decisions @> jsonb_build_array($13)
    AND d.value @> $13
    AND NOT d.value @> ANY ($14)
    AND ($15 IS NULL OR (d.value ->> 'binding')::integer = ANY ($15))
    AND (
      $16 IS NULL
      OR (d.value ->> 'hook', (d.value ->> 'binding')::integer, coalesce(d.value ->> 'shadow', 'false')) IN (
        SELECT hook, number, 'false'
        FROM hook_bindings
        WHERE tenant_id = $1
          AND sha256 = $16
        UNION ALL
        SELECT hook, number, 'true'
        FROM hook_bindings
        WHERE tenant_id = $1
          AND coalesce(shadow_sha256, sha256) = $16
      )
    )
    AND ($6 IS NULL OR (j.at, j.id) < ($6, $7) OR d.ordinality - 1 > $17)
  LIMIT $9
)
SELECT
  at,
  id,
  version,
  operation,
  outcome,
  document,
  thread,
  input_sha256,
  input,
  place,
  decision,
  following
FROM found
UNION ALL
(
  SELECT at, id, 0, '', '', '', '', ''::bytea, 'null'::jsonb, 2147483647, NULL, NULL
  FROM (
    SELECT at, id
    FROM hook_judgements
    WHERE
      tenant_id = $1
      AND ($2 IS NULL OR document = $2 AND thread = $3)
      AND ($4 IS NULL OR at >= $4)
      AND ($5 IS NULL OR at < $5)
      AND ($6 IS NULL OR (at, id) <= ($6, $7))
    ORDER BY at DESC, id DESC OFFSET $8 - 1
    LIMIT 1
  ) last
  WHERE (SELECT count(*) FROM found) < $9
);
