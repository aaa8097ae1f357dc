-- These versions of the vendor list, or all (NULL), as the ledger holds them: what vendors declare by
-- its hash, which is computed anew.
SELECT version,
       CAST(jsonb_build_object(
         'version', version, 'sha256', sha256,
         'vendors_sha256', encode(sha256(convert_to(CAST(vendors AS text), 'UTF8')), 'hex')) AS text)
         AS content, added_at AS created_at
FROM consent.vendor_list
WHERE CAST(:versions AS bigint[]) IS NULL OR version = ANY(CAST(:versions AS bigint[]))
ORDER BY version;
