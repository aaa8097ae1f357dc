-- The newest transaction that any row of ours mentions, and whether this cluster has given it out:
-- it has, of every row that it wrote itself.
SELECT CAST(newest AS text) AS newest,
       newest >= pg_snapshot_xmax(pg_current_snapshot()) AS elsewhere
FROM (SELECT greatest(
  (SELECT transaction FROM app.event ORDER BY transaction DESC, id DESC LIMIT 1),
  (SELECT transaction FROM app.change ORDER BY transaction DESC, id DESC LIMIT 1),
  (SELECT transaction FROM consent.record ORDER BY transaction DESC LIMIT 1),
  (SELECT transaction FROM app.progress ORDER BY transaction DESC LIMIT 1),
  (SELECT closed_by FROM app.event_partition WHERE closed_by IS NOT NULL
   ORDER BY closed_by DESC LIMIT 1)) AS newest) AS ours;
