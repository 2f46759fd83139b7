-- The bucket that holds the next row. It is worked out once, because each use of a row that is not behind an offset would look
-- for it again.
select coalesce(date_bin($6, t, ($5)[i]), ($5)[i]) as starts,
       least(date_bin($6, t, ($5)[i]) + $6, ($5)[i + 1]) as ends
from (select t, width_bucket(t, $5) as i from (select {nearer}(closed_time, forming_time) as t offset 0) as next offset 0) as day
where t is not null
