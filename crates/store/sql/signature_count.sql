-- all
SELECT count(*)
FROM (
  SELECT s.id, s.created_at
  FROM signatures s
  WHERE s.tenant_id = $1
  ORDER BY s.created_at DESC, s.id DESC
) ids;

-- document
SELECT count(*)
FROM (
  SELECT s.id, s.created_at
  FROM signatures s
  WHERE s.tenant_id = $1
    AND s.document COLLATE "C" >= $2 AND s.document COLLATE "C" <= $3
  ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
) ids;

-- thread
SELECT count(*)
FROM (
  SELECT s.id, s.created_at
  FROM signatures s
  WHERE s.tenant_id = $1
    AND s.thread COLLATE "C" >= $2 AND s.thread COLLATE "C" <= $3
  ORDER BY s.thread COLLATE "C" DESC, s.created_at DESC, s.id DESC
) ids;

-- document and thread
SELECT count(*)
FROM (
  SELECT s.id, s.created_at
  FROM (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $1
      AND (s.document, s.thread) >= ($2, $3) AND (s.document, s.thread) <= ($4, $5)
    ORDER BY s.document, s.thread
    LIMIT 1
  ) s
  WHERE true
    AND s.document = $6 AND s.thread = $7
) ids;

-- stage
SELECT count(*)
FROM (
  SELECT s.id, s.created_at
  FROM signatures s
  WHERE s.tenant_id = $1
    AND s.stage >= $2 AND s.stage <= $3
  ORDER BY s.stage DESC, s.created_at DESC, s.id DESC
) ids;

-- document and stage
SELECT count(*)
FROM (
  SELECT s.id, s.created_at
  FROM signatures s
  WHERE
    s.tenant_id = $1
    AND s.document COLLATE "C" >= $2
    AND s.document COLLATE "C" <= $3
    AND s.stage = $4
  ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
) ids;

-- any of the tags
SELECT count(*)
FROM (
  SELECT DISTINCT one.id, one.created_at
  FROM
    unnest($1::text[]) AS wanted (tag)
    CROSS JOIN LATERAL (
      SELECT t.signature_id AS id, t.created_at
      FROM signature_tags t
      WHERE t.tenant_id = $2
        AND t.tag = wanted.tag
      ORDER BY t.created_at DESC, t.signature_id DESC
    ) one
) ids;

-- any of the tags, and document
SELECT count(*)
FROM (
  SELECT DISTINCT one.id, one.created_at
  FROM
    unnest($1::text[]) AS wanted (tag)
    CROSS JOIN LATERAL (
      SELECT t.signature_id AS id, t.created_at
      FROM
        signature_tags t
        CROSS JOIN LATERAL (
          SELECT *
          FROM signatures s
          WHERE s.tenant_id = $2
            AND s.id BETWEEN t.signature_id AND t.signature_id
          ORDER BY s.id
          LIMIT 1
        ) s
      WHERE t.tenant_id = $3
        AND t.tag = wanted.tag AND s.document COLLATE "C" = $4
      ORDER BY t.created_at DESC, t.signature_id DESC
    ) one
) ids;

-- all of the tags
SELECT count(*)
FROM (
  SELECT t.signature_id AS id, t.created_at
  FROM signature_tags t
  WHERE
    t.tenant_id = $1
    AND t.tag = (
      SELECT wanted.tag
      FROM unnest($2::text[]) AS wanted (tag)
      ORDER BY (
        SELECT t.created_at
        FROM signature_tags t
        WHERE t.tenant_id = $3
          AND t.tag = wanted.tag
        ORDER BY t.created_at DESC, t.signature_id DESC OFFSET 99
        LIMIT 1
      ) NULLS FIRST
      LIMIT 1
    )
    AND ARRAY(
      SELECT o.tag
      FROM signature_tags o
      WHERE o.tenant_id = $4
        AND o.signature_id BETWEEN t.signature_id AND t.signature_id
      ORDER BY o.signature_id, o.tag
    ) @> $5
  ORDER BY t.created_at DESC, t.signature_id DESC
) ids;

-- all of the tags, and document
SELECT count(*)
FROM (
  SELECT t.signature_id AS id, t.created_at
  FROM
    signature_tags t
    CROSS JOIN LATERAL (
      SELECT *
      FROM signatures s
      WHERE s.tenant_id = $1
        AND s.id BETWEEN t.signature_id AND t.signature_id
      ORDER BY s.id
      LIMIT 1
    ) s
  WHERE
    t.tenant_id = $2
    AND t.tag = (
      SELECT wanted.tag
      FROM unnest($3::text[]) AS wanted (tag)
      ORDER BY (
        SELECT t.created_at
        FROM signature_tags t
        WHERE t.tenant_id = $4
          AND t.tag = wanted.tag
        ORDER BY t.created_at DESC, t.signature_id DESC OFFSET 99
        LIMIT 1
      ) NULLS FIRST
      LIMIT 1
    )
    AND ARRAY(
      SELECT o.tag
      FROM signature_tags o
      WHERE o.tenant_id = $5
        AND o.signature_id BETWEEN t.signature_id AND t.signature_id
      ORDER BY o.signature_id, o.tag
    ) @> $6
    AND s.document COLLATE "C" = $7
  ORDER BY t.created_at DESC, t.signature_id DESC
) ids;
