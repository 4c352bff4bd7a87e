DROP TABLE signature_verdicts;
DROP TABLE trust_anchors;
DROP TABLE policies;
