-- State again the ages that a restored database does not know, and end those that were ended
-- earlier than it knows. A band is never made longer.
WITH told AS MATERIALIZED (
  SELECT t.namespace, t.value, t.band, t.from_at, min(coalesce(t.to_at, 'infinity')) AS to_at,
         min(t.stated_by) AS stated_by
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS t(
         namespace text, value text, band text, from_at timestamptz, to_at timestamptz,
         stated_by text)
  GROUP BY t.namespace, t.value, t.band, t.from_at
), ended AS (
  UPDATE consent.age_band a SET to_at = t.to_at
  FROM told t
  WHERE (a.namespace, a.value, a.band, a.from_at) = (t.namespace, t.value, t.band, t.from_at)
    AND t.to_at < coalesce(a.to_at, 'infinity')
  RETURNING a.namespace, a.value, a.band
), made AS (
  INSERT INTO consent.age_band (namespace, value, band, from_at, to_at, stated_by)
  SELECT t.namespace, t.value, t.band, t.from_at, nullif(t.to_at, 'infinity'), t.stated_by
  FROM told t
  WHERE NOT EXISTS (
    SELECT FROM consent.age_band a
    WHERE (a.namespace, a.value, a.band, a.from_at) = (t.namespace, t.value, t.band, t.from_at))
  RETURNING namespace, value, band
)
SELECT namespace, value, band FROM ended UNION ALL SELECT namespace, value, band FROM made;
