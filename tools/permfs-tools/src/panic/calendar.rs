// SPDX-License-Identifier: GPL-2.0

//! Wall-clock times as people read them.

/// Nanoseconds since 1970 as RFC 3339, in UTC. The calendar is Howard Hinnant's `civil_from_days`.
pub(super) fn utc(ns: u64) -> String {
    let (secs, millis) = (ns / 1_000_000_000, ns / 1_000_000 % 1000);
    let (days, of_day) = (secs / 86_400, secs % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn days_are_in_the_right_year() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_400_000_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(utc(1_795_387_569_123_456_789), "2026-11-22T22:46:09.123Z");
        assert_eq!(utc(4_107_542_399_999_999_999), "2100-02-28T23:59:59.999Z");
    }
}
