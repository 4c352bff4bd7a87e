-- all: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE s.tenant_id = $4
      ORDER BY s.created_at DESC, s.id DESC
      LIMIT $5 OFFSET $6
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $7
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $8
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- all: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE s.tenant_id = $4
        AND (s.created_at, s.id) < ($5, $6)
      ORDER BY s.created_at DESC, s.id DESC
      LIMIT $7 OFFSET $8
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $9
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $10
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- document: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE s.tenant_id = $4
        AND s.document COLLATE "C" >= $5 AND s.document COLLATE "C" <= $6
      ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $7 OFFSET $8
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $9
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $10
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- document: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND s.document COLLATE "C" >= $5
        AND (s.document COLLATE "C", s.created_at, s.id) < ($6, $7, $8)
      ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- thread: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE s.tenant_id = $4
        AND s.thread COLLATE "C" >= $5 AND s.thread COLLATE "C" <= $6
      ORDER BY s.thread COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $7 OFFSET $8
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $9
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $10
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- thread: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND s.thread COLLATE "C" >= $5
        AND (s.thread COLLATE "C", s.created_at, s.id) < ($6, $7, $8)
      ORDER BY s.thread COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- document and thread: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM (
        SELECT *
        FROM signatures s
        WHERE s.tenant_id = $4
          AND (s.document, s.thread) >= ($5, $6) AND (s.document, s.thread) <= ($7, $8)
        ORDER BY s.document, s.thread
        LIMIT 1
      ) s
      WHERE true
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- document and thread: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM (
        SELECT *
        FROM signatures s
        WHERE s.tenant_id = $4
          AND (s.document, s.thread) >= ($5, $6) AND (s.document, s.thread) <= ($7, $8)
        ORDER BY s.document, s.thread
        LIMIT 1
      ) s
      WHERE true
        AND (s.created_at, s.id) < ($9, $10)
      LIMIT $11 OFFSET $12
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $13
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $14
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- stage: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE s.tenant_id = $4
        AND s.stage >= $5 AND s.stage <= $6
      ORDER BY s.stage DESC, s.created_at DESC, s.id DESC
      LIMIT $7 OFFSET $8
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $9
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $10
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- stage: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE s.tenant_id = $4
        AND s.stage >= $5 AND (s.stage, s.created_at, s.id) < ($6, $7, $8)
      ORDER BY s.stage DESC, s.created_at DESC, s.id DESC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- document and stage: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND s.document COLLATE "C" >= $5
        AND s.document COLLATE "C" <= $6
        AND s.stage = $7
      ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $8 OFFSET $9
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $10
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $11
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- document and stage: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND s.document COLLATE "C" >= $5
        AND (s.document COLLATE "C", s.created_at, s.id) < ($6, $7, $8)
        AND s.stage = $9
      ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $10 OFFSET $11
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $12
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $13
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- any of the tags: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT DISTINCT one.id, one.at
      FROM
        unnest($4::text[]) AS wanted (value)
        CROSS JOIN LATERAL (
          SELECT t.signature_id AS id, t.created_at AS at
          FROM signature_tags t
          WHERE t.tenant_id = $5
            AND t.tag = wanted.value
          ORDER BY t.created_at DESC, t.signature_id DESC
          LIMIT $6
        ) one
      ORDER BY one.at DESC, one.id DESC
      LIMIT $7 OFFSET $8
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $9
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $10
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- any of the tags: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT DISTINCT one.id, one.at
      FROM
        unnest($4::text[]) AS wanted (value)
        CROSS JOIN LATERAL (
          SELECT t.signature_id AS id, t.created_at AS at
          FROM signature_tags t
          WHERE t.tenant_id = $5
            AND t.tag = wanted.value AND (t.created_at, t.signature_id) < ($6, $7)
          ORDER BY t.created_at DESC, t.signature_id DESC
          LIMIT $8
        ) one
      ORDER BY one.at DESC, one.id DESC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- any of the tags, and document: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND s.document COLLATE "C" >= $5
        AND s.document COLLATE "C" <= $6
        AND ARRAY(
          SELECT o.tag
          FROM signature_tags o
          WHERE o.tenant_id = $7
            AND o.signature_id BETWEEN s.id AND s.id
          ORDER BY o.signature_id, o.tag
        ) && $8
      ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- any of the tags, and document: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND s.document COLLATE "C" >= $5
        AND (s.document COLLATE "C", s.created_at, s.id) < ($6, $7, $8)
        AND ARRAY(
          SELECT o.tag
          FROM signature_tags o
          WHERE o.tenant_id = $9
            AND o.signature_id BETWEEN s.id AND s.id
          ORDER BY o.signature_id, o.tag
        ) && $10
      ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $11 OFFSET $12
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $13
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $14
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- all of the tags: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT t.signature_id AS id, t.created_at AS at
      FROM signature_tags t
      WHERE
        t.tenant_id = $4
        AND t.tag = (
          SELECT wanted.value
          FROM unnest($5::text[]) AS wanted (value)
          ORDER BY (
            SELECT t.created_at
            FROM signature_tags t
            WHERE t.tenant_id = $6
              AND t.tag = wanted.value
            ORDER BY t.created_at DESC, t.signature_id DESC OFFSET 99
            LIMIT 1
          ) ASC NULLS FIRST
          LIMIT 1
        )
        AND ARRAY(
          SELECT o.tag
          FROM signature_tags o
          WHERE o.tenant_id = $7
            AND o.signature_id BETWEEN t.signature_id AND t.signature_id
          ORDER BY o.signature_id, o.tag
        ) @> $8
      ORDER BY t.created_at DESC, t.signature_id DESC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- all of the tags: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT t.signature_id AS id, t.created_at AS at
      FROM signature_tags t
      WHERE
        t.tenant_id = $4
        AND t.tag = (
          SELECT wanted.value
          FROM unnest($5::text[]) AS wanted (value)
          ORDER BY (
            SELECT t.created_at
            FROM signature_tags t
            WHERE t.tenant_id = $6
              AND t.tag = wanted.value AND (t.created_at, t.signature_id) < ($7, $8)
            ORDER BY t.created_at DESC, t.signature_id DESC OFFSET 99
            LIMIT 1
          ) ASC NULLS FIRST
          LIMIT 1
        )
        AND ARRAY(
          SELECT o.tag
          FROM signature_tags o
          WHERE o.tenant_id = $9
            AND o.signature_id BETWEEN t.signature_id AND t.signature_id
          ORDER BY o.signature_id, o.tag
        ) @> $10
        AND (t.created_at, t.signature_id) < ($11, $12)
      ORDER BY t.created_at DESC, t.signature_id DESC
      LIMIT $13 OFFSET $14
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $15
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $16
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- all of the tags, and document: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND s.document COLLATE "C" >= $5
        AND s.document COLLATE "C" <= $6
        AND ARRAY(
          SELECT o.tag
          FROM signature_tags o
          WHERE o.tenant_id = $7
            AND o.signature_id BETWEEN s.id AND s.id
          ORDER BY o.signature_id, o.tag
        ) @> $8
      ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- all of the tags, and document: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND s.document COLLATE "C" >= $5
        AND (s.document COLLATE "C", s.created_at, s.id) < ($6, $7, $8)
        AND ARRAY(
          SELECT o.tag
          FROM signature_tags o
          WHERE o.tenant_id = $9
            AND o.signature_id BETWEEN s.id AND s.id
          ORDER BY o.signature_id, o.tag
        ) @> $10
      ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $11 OFFSET $12
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $13
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $14
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- signer: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT DISTINCT one.id, one.at
      FROM
        unnest($4::text[]) AS wanted (value)
        CROSS JOIN LATERAL (
          SELECT t.signature_id AS id, t.created_at AS at
          FROM signature_terms t
          WHERE t.tenant_id = $5
            AND t.term = wanted.value
          ORDER BY t.created_at DESC, t.signature_id DESC
          LIMIT $6
        ) one
      ORDER BY one.at DESC, one.id DESC
      LIMIT $7 OFFSET $8
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $9
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $10
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- signer: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT DISTINCT one.id, one.at
      FROM
        unnest($4::text[]) AS wanted (value)
        CROSS JOIN LATERAL (
          SELECT t.signature_id AS id, t.created_at AS at
          FROM signature_terms t
          WHERE t.tenant_id = $5
            AND t.term = wanted.value AND (t.created_at, t.signature_id) < ($6, $7)
          ORDER BY t.created_at DESC, t.signature_id DESC
          LIMIT $8
        ) one
      ORDER BY one.at DESC, one.id DESC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- signer, any of the tags, verdict, and document: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND s.document COLLATE "C" >= $5
        AND s.document COLLATE "C" <= $6
        AND ARRAY(
          SELECT o.tag
          FROM signature_tags o
          WHERE o.tenant_id = $7
            AND o.signature_id BETWEEN s.id AND s.id
          ORDER BY o.signature_id, o.tag
        ) && $8
        AND ARRAY(
          SELECT o.term
          FROM signature_terms o
          WHERE o.tenant_id = $9
            AND o.signature_id BETWEEN s.id AND s.id
          ORDER BY o.signature_id, o.term
        ) && $10
        AND ARRAY(
          SELECT o.term
          FROM signature_terms o
          WHERE o.tenant_id = $11
            AND o.signature_id BETWEEN s.id AND s.id
          ORDER BY o.signature_id, o.term
        ) && $12
      ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $13 OFFSET $14
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $15
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $16
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- signer, any of the tags, verdict, and document: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND s.document COLLATE "C" >= $5
        AND (s.document COLLATE "C", s.created_at, s.id) < ($6, $7, $8)
        AND ARRAY(
          SELECT o.tag
          FROM signature_tags o
          WHERE o.tenant_id = $9
            AND o.signature_id BETWEEN s.id AND s.id
          ORDER BY o.signature_id, o.tag
        ) && $10
        AND ARRAY(
          SELECT o.term
          FROM signature_terms o
          WHERE o.tenant_id = $11
            AND o.signature_id BETWEEN s.id AND s.id
          ORDER BY o.signature_id, o.term
        ) && $12
        AND ARRAY(
          SELECT o.term
          FROM signature_terms o
          WHERE o.tenant_id = $13
            AND o.signature_id BETWEEN s.id AND s.id
          ORDER BY o.signature_id, o.term
        ) && $14
      ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
      LIMIT $15 OFFSET $16
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $17
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $18
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- not signed by: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND NOT (
          true
          AND ARRAY(
            SELECT o.term
            FROM signature_terms o
            WHERE o.tenant_id = $5
              AND o.signature_id BETWEEN s.id AND s.id
            ORDER BY o.signature_id, o.term
          ) && $6
        )
      ORDER BY s.created_at DESC, s.id DESC
      LIMIT $7 OFFSET $8
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $9
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $10
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- not signed by: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND NOT (
          true
          AND ARRAY(
            SELECT o.term
            FROM signature_terms o
            WHERE o.tenant_id = $5
              AND o.signature_id BETWEEN s.id AND s.id
            ORDER BY o.signature_id, o.term
          ) && $6
        )
        AND (s.created_at, s.id) < ($7, $8)
      ORDER BY s.created_at DESC, s.id DESC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- verdict: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT DISTINCT one.id, one.at
      FROM
        unnest($4::text[]) AS wanted (value)
        CROSS JOIN LATERAL (
          SELECT t.signature_id AS id, t.created_at AS at
          FROM signature_terms t
          WHERE t.tenant_id = $5
            AND t.term = wanted.value
          ORDER BY t.created_at DESC, t.signature_id DESC
          LIMIT $6
        ) one
      ORDER BY one.at DESC, one.id DESC
      LIMIT $7 OFFSET $8
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $9
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $10
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- verdict: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT DISTINCT one.id, one.at
      FROM
        unnest($4::text[]) AS wanted (value)
        CROSS JOIN LATERAL (
          SELECT t.signature_id AS id, t.created_at AS at
          FROM signature_terms t
          WHERE t.tenant_id = $5
            AND t.term = wanted.value AND (t.created_at, t.signature_id) < ($6, $7)
          ORDER BY t.created_at DESC, t.signature_id DESC
          LIMIT $8
        ) one
      ORDER BY one.at DESC, one.id DESC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- all, in a range, oldest first: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at ASC, ids.id ASC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE s.tenant_id = $4
        AND (s.created_at, s.id) > ($5, $6) AND (s.created_at, s.id) < ($7, $8)
      ORDER BY s.created_at ASC, s.id ASC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- all, in a range, oldest first: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at ASC, ids.id ASC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE s.tenant_id = $4
        AND (s.created_at, s.id) > ($5, $6) AND (s.created_at, s.id) < ($7, $8)
      ORDER BY s.created_at ASC, s.id ASC
      LIMIT $9 OFFSET $10
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $11
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $12
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- document, in a range, oldest first: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at ASC, ids.id ASC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND (s.document COLLATE "C", s.created_at, s.id) > ($5, $6, $7)
        AND (s.document COLLATE "C", s.created_at, s.id) < ($8, $9, $10)
      ORDER BY s.document COLLATE "C" ASC, s.created_at ASC, s.id ASC
      LIMIT $11 OFFSET $12
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $13
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $14
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- document, in a range, oldest first: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at ASC, ids.id ASC) AS place
    FROM (
      SELECT s.id, s.created_at AS at
      FROM signatures s
      WHERE
        s.tenant_id = $4
        AND (s.document COLLATE "C", s.created_at, s.id) > ($5, $6, $7)
        AND (s.document COLLATE "C", s.created_at, s.id) < ($8, $9, $10)
      ORDER BY s.document COLLATE "C" ASC, s.created_at ASC, s.id ASC
      LIMIT $11 OFFSET $12
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $13
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $14
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- all, in a range, by their last change: the first page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at ASC, ids.id ASC) AS place
    FROM (
      SELECT v.signature_id AS id, v.created_at AS at
      FROM
        signature_versions v
        CROSS JOIN LATERAL (
          SELECT *
          FROM signatures s
          WHERE s.tenant_id = $4
            AND s.id BETWEEN v.signature_id AND v.signature_id
          ORDER BY s.id
          LIMIT 1
        ) s
      WHERE
        v.tenant_id::bigint = $5
        AND s.version = v.version
        AND (v.created_at, v.signature_id) > ($6, $7)
        AND (v.created_at, v.signature_id) < ($8, $9)
      ORDER BY v.created_at ASC, v.signature_id ASC
      LIMIT $10 OFFSET $11
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $12
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $13
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- all, in a range, by their last change: a later page
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at ASC, ids.id ASC) AS place
    FROM (
      SELECT v.signature_id AS id, v.created_at AS at
      FROM
        signature_versions v
        CROSS JOIN LATERAL (
          SELECT *
          FROM signatures s
          WHERE s.tenant_id = $4
            AND s.id BETWEEN v.signature_id AND v.signature_id
          ORDER BY s.id
          LIMIT 1
        ) s
      WHERE
        v.tenant_id::bigint = $5
        AND s.version = v.version
        AND (v.created_at, v.signature_id) > ($6, $7)
        AND (v.created_at, v.signature_id) < ($8, $9)
      ORDER BY v.created_at ASC, v.signature_id ASC
      LIMIT $10 OFFSET $11
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $12
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $13
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- any of the tags, and document, by their last change: whether few match
SELECT count(*)
FROM (
  SELECT s.id, s.created_at AS at
  FROM signatures s
  WHERE s.tenant_id = $1
    AND s.document COLLATE "C" >= $2 AND s.document COLLATE "C" <= $3
  ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
  LIMIT $4
) few;

-- any of the tags, and document, by their last change: a page of few
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT g.id, s.updated_at AS at
      FROM (
        SELECT s.id, s.created_at AS at
        FROM signatures s
        WHERE s.tenant_id = $4
          AND s.document COLLATE "C" >= $5 AND s.document COLLATE "C" <= $6
        ORDER BY s.document COLLATE "C" DESC, s.created_at DESC, s.id DESC
        LIMIT $7
      ) g
        CROSS JOIN LATERAL (
          SELECT *
          FROM signatures s
          WHERE s.tenant_id = $8
            AND s.id BETWEEN g.id AND g.id
          ORDER BY s.id
          LIMIT 1
        ) s
      WHERE
        true
        AND ARRAY(
          SELECT o.tag
          FROM signature_tags o
          WHERE o.tenant_id = $9
            AND o.signature_id BETWEEN g.id AND g.id
          ORDER BY o.signature_id, o.tag
        ) && $10
        AND (s.updated_at, g.id) < ($11, $12)
      ORDER BY s.updated_at DESC, g.id DESC
      LIMIT $13 OFFSET $14
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $15
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $16
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;

-- any of the tags, and document, by their last change: a page of many
SELECT
  s.id,
  s.document,
  s.thread,
  s.created_at,
  s.updated_at,
  v.version,
  v.created_at,
  v.stage,
  v.created_by,
  v.comment,
  v.tags,
  v.encoding,
  v.sha256,
  CASE
    WHEN sum(octet_length(v.signature)) FILTER (WHERE page.place <= $1) OVER () <= $2
    AND page.place <= $3 THEN v.signature
  END
FROM
  (
    SELECT ids.id, row_number() OVER (ORDER BY ids.at DESC, ids.id DESC) AS place
    FROM (
      SELECT v.signature_id AS id, v.created_at AS at
      FROM
        signature_versions v
        CROSS JOIN LATERAL (
          SELECT *
          FROM signatures s
          WHERE s.tenant_id = $4
            AND s.id BETWEEN v.signature_id AND v.signature_id
          ORDER BY s.id
          LIMIT 1
        ) s
      WHERE
        v.tenant_id::bigint = $5
        AND s.version = v.version
        AND s.document COLLATE "C" = $6
        AND ARRAY(
          SELECT o.tag
          FROM signature_tags o
          WHERE o.tenant_id = $7
            AND o.signature_id BETWEEN v.signature_id AND v.signature_id
          ORDER BY o.signature_id, o.tag
        ) && $8
        AND (v.created_at, v.signature_id) < ($9, $10)
      ORDER BY v.created_at DESC, v.signature_id DESC
      LIMIT $11 OFFSET $12
    ) ids
  ) page
  CROSS JOIN LATERAL (
    SELECT *
    FROM signatures s
    WHERE s.tenant_id = $13
      AND s.id BETWEEN page.id AND page.id
    ORDER BY s.id
    LIMIT 1
  ) s
  CROSS JOIN LATERAL (
    SELECT *
    FROM signature_versions v
    WHERE
      v.tenant_id = $14
      AND (v.signature_id, v.version) >= (s.id, s.version)
      AND (v.signature_id, v.version) <= (s.id, s.version)
    ORDER BY v.signature_id, v.version
    LIMIT 1
  ) v
ORDER BY page.place;
