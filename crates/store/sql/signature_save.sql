SELECT place, id, version, created_at, updated_at
FROM
  signature_save_1(
    owner => $1,
    documents => $2,
    threads => $3,
    parents => $4,
    or_first => $5,
    stages => $6,
    creators => $7,
    comments => $8,
    tags => $9,
    tag_ends => $10,
    encodings => $11,
    digests => $12,
    bodies => $13,
    verdicts => $14,
    verdict_bytes => $15,
    judged_versions => $16,
    inputs => $17,
    input_digests => $18,
    decisions => $19,
    may_recreate => $20
  );
