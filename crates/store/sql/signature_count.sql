-- all
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
  FROM signatures s
  WHERE s.tenant_id = $1
  ORDER BY s.created_at DESC, s.id DESC
) ids;

-- document
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
  FROM signatures s
  WHERE s.tenant_id = $1
    AND s.document COLLATE "C" >= $2 AND s.document COLLATE "C" <= $3
  ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
) ids;

-- thread
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
  FROM signatures s
  WHERE s.tenant_id = $1
    AND s.thread COLLATE "C" >= $2 AND s.thread COLLATE "C" <= $3
  ORDER BY s.thread COLLATE "C" DESC, s.created_at DESC, s.id DESC
) ids;

-- document and thread
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
  FROM (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $1
      AND (s.document, s.thread) >= ($2, $3) AND (s.document, s.thread) <= ($4, $5)
    ORDER BY s.document, s.thread
    LIMIT 1
  ) s
  WHERE true
) ids;

-- stage
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
  FROM signatures s
  WHERE s.tenant_id = $1
    AND s.stage >= $2 AND s.stage <= $3
  ORDER BY s.stage DESC, s.created_at DESC, s.id DESC
) ids;

-- document and stage
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
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
  SELECT DISTINCT one.id, one.at
  FROM
    unnest($1::text[]) AS wanted (value)
    CROSS JOIN LATERAL (
      SELECT t.signature_id AS id, t.created_at AS at
      FROM signature_tags t
      WHERE t.tenant_id = $2
        AND t.tag = wanted.value
      ORDER BY t.created_at DESC, t.signature_id DESC
    ) one
) ids;

-- any of the tags, and document
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
  FROM signatures s
  WHERE
    s.tenant_id = $1
    AND s.document COLLATE "C" >= $2
    AND s.document COLLATE "C" <= $3
    AND ARRAY(
      SELECT o.tag
      FROM signature_tags o
      WHERE o.tenant_id = $4
        AND o.signature_id BETWEEN s.id AND s.id
      ORDER BY o.signature_id, o.tag
    ) && $5
  ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
) ids;

-- all of the tags
SELECT count(*)
FROM (
  SELECT t.signature_id AS id, t.created_at AS at
  FROM signature_tags t
  WHERE
    t.tenant_id = $1
    AND t.tag = (
      SELECT wanted.value
      FROM unnest($2::text[]) AS wanted (value)
      ORDER BY (
        SELECT t.created_at
        FROM signature_tags t
        WHERE t.tenant_id = $3
          AND t.tag = wanted.value
        ORDER BY t.created_at DESC, t.signature_id DESC OFFSET 99
        LIMIT 1
      ) ASC NULLS FIRST
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
  SELECT s.id, s.created_at AS at
  FROM signatures s
  WHERE
    s.tenant_id = $1
    AND s.document COLLATE "C" >= $2
    AND s.document COLLATE "C" <= $3
    AND ARRAY(
      SELECT o.tag
      FROM signature_tags o
      WHERE o.tenant_id = $4
        AND o.signature_id BETWEEN s.id AND s.id
      ORDER BY o.signature_id, o.tag
    ) @> $5
  ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
) ids;

-- signer
SELECT count(*)
FROM (
  SELECT DISTINCT one.id, one.at
  FROM
    unnest($1::text[]) AS wanted (value)
    CROSS JOIN LATERAL (
      SELECT t.signature_id AS id, t.created_at AS at
      FROM signature_terms t
      WHERE t.tenant_id = $2
        AND t.term = wanted.value
      ORDER BY t.created_at DESC, t.signature_id DESC
    ) one
) ids;

-- signer, any of the tags, verdict, and document
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
  FROM signatures s
  WHERE
    s.tenant_id = $1
    AND s.document COLLATE "C" >= $2
    AND s.document COLLATE "C" <= $3
    AND ARRAY(
      SELECT o.tag
      FROM signature_tags o
      WHERE o.tenant_id = $4
        AND o.signature_id BETWEEN s.id AND s.id
      ORDER BY o.signature_id, o.tag
    ) && $5
    AND ARRAY(
      SELECT o.term
      FROM signature_terms o
      WHERE o.tenant_id = $6
        AND o.signature_id BETWEEN s.id AND s.id
      ORDER BY o.signature_id, o.term
    ) && $7
    AND ARRAY(
      SELECT o.term
      FROM signature_terms o
      WHERE o.tenant_id = $8
        AND o.signature_id BETWEEN s.id AND s.id
      ORDER BY o.signature_id, o.term
    ) && $9
  ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
) ids;

-- not signed by
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
  FROM signatures s
  WHERE
    s.tenant_id = $1
    AND NOT (
      true
      AND ARRAY(
        SELECT o.term
        FROM signature_terms o
        WHERE o.tenant_id = $2
          AND o.signature_id BETWEEN s.id AND s.id
        ORDER BY o.signature_id, o.term
      ) && $3
    )
  ORDER BY s.created_at DESC, s.id DESC
) ids;

-- verdict
SELECT count(*)
FROM (
  SELECT DISTINCT one.id, one.at
  FROM
    unnest($1::text[]) AS wanted (value)
    CROSS JOIN LATERAL (
      SELECT t.signature_id AS id, t.created_at AS at
      FROM signature_terms t
      WHERE t.tenant_id = $2
        AND t.term = wanted.value
      ORDER BY t.created_at DESC, t.signature_id DESC
    ) one
) ids;

-- all, in a range, oldest first
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
  FROM signatures s
  WHERE s.tenant_id = $1
    AND (s.created_at, s.id) > ($2, $3) AND (s.created_at, s.id) < ($4, $5)
  ORDER BY s.created_at ASC, s.id ASC
) ids;

-- document, in a range, oldest first
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
  FROM signatures s
  WHERE
    s.tenant_id = $1
    AND (s.document COLLATE "C", s.created_at, s.id) > ($2, $3, $4)
    AND (s.document COLLATE "C", s.created_at, s.id) < ($5, $6, $7)
  ORDER BY s.document COLLATE "C" ASC, s.created_at ASC, s.id ASC
) ids;

-- all, in a range, by their last change
SELECT count(*)
FROM (
  SELECT v.signature_id AS id, v.created_at AS at
  FROM
    signature_versions v
    CROSS JOIN LATERAL (
      SELECT *
      FROM signatures s
      WHERE s.tenant_id = $1
        AND s.id BETWEEN v.signature_id AND v.signature_id
      ORDER BY s.id
      LIMIT 1
    ) s
  WHERE
    v.tenant_id::bigint = $2
    AND s.version = v.version
    AND (v.created_at, v.signature_id) > ($3, $4)
    AND (v.created_at, v.signature_id) < ($5, $6)
  ORDER BY v.created_at ASC, v.signature_id ASC
) ids;
