SELECT place, id, created_at
FROM
  signature_create_3(
    owner => $1,
    documents => $2,
    threads => $3,
    stages => $4,
    creators => $5,
    comments => $6,
    tags => $7,
    tag_ends => $8,
    encodings => $9,
    digests => $10,
    bodies => $11,
    verdicts => $12,
    verdict_bytes => $13,
    inputs => $14,
    input_digests => $15,
    decisions => $16,
    salts => $17,
    seals => $18,
    verdict_salts => $19,
    verdict_seals => $20,
    verdict_events => $21,
    terms => $22,
    term_ends => $23,
    index_signers => $24
  );
