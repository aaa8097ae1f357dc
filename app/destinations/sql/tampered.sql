-- Decisions to send that are not what their manifest holds of them: others are deleted, none changes.
SELECT d.id, d.manifest_id
FROM app.disclosure d
LEFT JOIN app.manifest m ON m.id = d.manifest_id
WHERE d.manifest_id IS NOT NULL
  AND sha256('\x00'::bytea || convert_to(d.leaf, 'UTF8'))
      IS DISTINCT FROM substring(m.hashes FROM CAST(d.place AS integer) * 32 + 1 FOR 32)
ORDER BY d.id
LIMIT :most;
