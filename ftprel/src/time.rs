//! Times as operators read and write them: in the local zone.

use jiff::{Span, Timestamp, Zoned, civil::DateTime, tz::TimeZone};

/// A time in the local zone.
pub(crate) fn local(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time in the local zone with the zone's name, for records.
pub(crate) fn local_with_zone(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// How long from now until `time`, such as `in 12 s`; `now` when it is past.
pub(crate) fn until(time: Timestamp, now: Timestamp) -> String {
    match time.duration_since(now).as_secs() {
        i64::MIN..=0 => "now".to_owned(),
        seconds @ 1..=119 => format!("in {seconds} s"),
        seconds @ 120..=7_199 => format!("in {} min", seconds / 60),
        seconds => format!("in {} h", seconds / 3_600),
    }
}

/// A time: `2000-03-01`, `2000-03-01 10:06` and `10:06` in the local zone, `10:06Z` forms as
/// RFC 3339 has them, or `2h` for two hours ago.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    parse_at(text, &Zoned::now())
}

fn parse_at(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let here = |civil: DateTime| civil.to_zoned(now.time_zone().clone()).ok();
    let time = if let Ok(civil) = text.parse::<DateTime>() {
        here(civil)
    } else if let Ok(clock) = text.parse::<jiff::civil::Time>() {
        here(now.date().to_datetime(clock))
    } else {
        text.parse::<Span>().ok().and_then(|span| now.checked_sub(span.abs()).ok())
    };
    time.map(|zoned| zoned.timestamp()).ok_or_else(|| {
        format!(
            "`{}` is no time; write it as `2000-03-01 10:06`, `10:06`, or `2h` for two hours ago",
            text.escape_debug()
        )
    })
}

#[cfg(test)]
mod tests {
    use jiff::{civil::date, tz};

    use super::*;

    #[test]
    fn operators_write_times_in_many_ways() {
        let zone = TimeZone::fixed(tz::offset(9));
        let now = date(2000, 3, 1).at(10, 6, 18, 0).to_zoned(zone).unwrap();
        let parsed = |text: &str| parse_at(text, &now).unwrap().to_string();
        assert_eq!(parsed("2000-02-29T01:00:00Z"), "2000-02-29T01:00:00Z");
        assert_eq!(parsed("2000-03-01 09:00"), "2000-03-01T00:00:00Z");
        assert_eq!(parsed("2000-03-01"), "2000-02-29T15:00:00Z");
        assert_eq!(parsed("09:30"), "2000-03-01T00:30:00Z");
        assert_eq!(parsed("2h"), "2000-02-29T23:06:18Z");
        assert_eq!(parsed("1 day"), "2000-02-29T01:06:18Z");
        for text in ["", "soon", "25:00", "2000-02-30"] {
            assert!(parse_at(text, &now).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_next_try_is_told_in_round_numbers() {
        let now = Timestamp::UNIX_EPOCH;
        let after = |seconds| until(Timestamp::from_second(seconds).unwrap(), now);
        assert_eq!([after(-5), after(0), after(12)], ["now", "now", "in 12 s"]);
        assert_eq!([after(150), after(7_200)], ["in 2 min", "in 2 h"]);
    }
}
