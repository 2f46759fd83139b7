//! Functions computed from their definitions, each on the last bar of a past, without any code of the kernels.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "windows and walks are short"
)]

use crate::Columns;

pub(super) const NA: f64 = f64::NAN;

/// The bars up to one, oldest first.
pub(super) struct Past<'a> {
    pub(super) open: &'a [f64],
    pub(super) high: &'a [f64],
    pub(super) low: &'a [f64],
    pub(super) close: &'a [f64],
    pub(super) volume: &'a [f64],
    pub(super) time: &'a [i64],
}

impl Past<'_> {
    pub(super) fn of(columns: &Columns, bars: usize) -> Past<'_> {
        Past {
            open: &columns.open[..bars],
            high: &columns.high[..bars],
            low: &columns.low[..bars],
            close: &columns.close[..bars],
            volume: &columns.volume[..bars],
            time: &columns.time[..bars],
        }
    }

    pub(super) fn bars(&self) -> usize {
        self.close.len()
    }

    /// A number for each bar so far.
    fn each(&self, number: impl Fn(usize) -> f64) -> Vec<f64> {
        (0..self.bars()).map(number).collect()
    }

    fn typical(&self) -> Vec<f64> {
        self.each(|i| (self.high[i] + self.low[i] + self.close[i]) / 3.0)
    }

    fn middle(&self) -> Vec<f64> {
        self.each(|i| f64::midpoint(self.high[i], self.low[i]))
    }

    fn true_range(&self, first: bool) -> Vec<f64> {
        self.each(|i| match i {
            0 if first => self.high[0] - self.low[0],
            0 => NA,
            _ => self.high[i].max(self.close[i - 1]) - self.low[i].min(self.close[i - 1]),
        })
    }

    fn money_flow(&self) -> Vec<f64> {
        self.each(|i| match self.high[i] - self.low[i] {
            0.0 => 0.0,
            range => (2.0 * self.close[i] - self.low[i] - self.high[i]) / range * self.volume[i],
        })
    }

    fn hour(&self, bar: usize) -> i64 {
        self.time[bar] / 3_600_000 % 24
    }

    /// The bars since the last one whose hour is 3, that one included.
    fn since_three(&self) -> Option<std::ops::Range<usize>> {
        Some((0..self.bars()).rev().find(|&bar| self.hour(bar) == 3)?..self.bars())
    }
}

/// The numbers without `na`, which a function passes over.
pub(super) fn defined(x: &[f64]) -> Vec<f64> {
    x.iter().copied().filter(|number| !number.is_nan()).collect()
}

/// The last `n` numbers; `None` if the newest is `na`, or if there are fewer.
fn window(x: &[f64], n: usize) -> Option<Vec<f64>> {
    let numbers = defined(x);
    (!x.last()?.is_nan() && numbers.len() >= n).then(|| numbers[numbers.len() - n..].to_vec())
}

fn over(x: &[f64], n: usize, of: impl Fn(&[f64]) -> f64) -> f64 {
    window(x, n).map_or(NA, |window| of(&window))
}

fn mean(x: &[f64]) -> f64 {
    // Computed relative to one of them, so that the mean of equal numbers is exactly that number.
    x[0] + x.iter().map(|number| number - x[0]).sum::<f64>() / x.len() as f64
}

pub(super) fn sma(x: &[f64], n: usize) -> f64 {
    over(x, n, mean)
}

/// An average that keeps `keep` of what it was, from the mean of the first `n` on.
fn smooth(x: &[f64], n: usize, keep: f64) -> f64 {
    let numbers = defined(x);
    if numbers.len() < n || x.last().is_none_or(|last| last.is_nan()) {
        return NA;
    }
    numbers[n..].iter().fold(mean(&numbers[..n]), |average, number| keep * average + (1.0 - keep) * number)
}

pub(super) fn ema(x: &[f64], n: usize) -> f64 {
    smooth(x, n, 1.0 - 2.0 / (n as f64 + 1.0))
}

fn rma(x: &[f64], n: usize) -> f64 {
    smooth(x, n, 1.0 - 1.0 / n as f64)
}

fn wma(x: &[f64], n: usize) -> f64 {
    over(x, n, |window| {
        let weights = (1..=n).map(|weight| weight as f64);
        window.iter().zip(weights.clone()).map(|(number, weight)| number * weight).sum::<f64>() / weights.sum::<f64>()
    })
}

/// A function of the numbers up to each bar.
fn history(x: &[f64], of: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    (1..=x.len()).map(|bars| of(&x[..bars])).collect()
}

pub(super) fn variance(x: &[f64], n: usize) -> f64 {
    over(x, n, |window| {
        let middle = mean(window);
        window.iter().map(|number| (number - middle).powi(2)).sum::<f64>() / n as f64
    })
}

pub(super) fn highest(x: &[f64], n: usize) -> f64 {
    over(x, n, |window| window.iter().copied().fold(NA, f64::max))
}

fn lowest(x: &[f64], n: usize) -> f64 {
    over(x, n, |window| window.iter().copied().fold(NA, f64::min))
}

fn changes(x: &[f64]) -> Vec<f64> {
    (0..x.len()).map(|i| if i == 0 { NA } else { x[i] - x[i - 1] }).collect()
}

fn ago(x: &[f64], n: usize) -> f64 {
    x.len().checked_sub(n + 1).map_or(NA, |bar| x[bar])
}

pub(super) fn last(x: &[f64]) -> f64 {
    x.last().copied().unwrap_or(NA)
}

fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { NA } else { a / b }
}

fn kama(x: &[f64], n: usize) -> f64 {
    if x.len() <= n {
        return NA;
    }
    (n..x.len()).fold(x[n - 1], |average, bar| {
        let moves: f64 = (bar - n + 1..=bar).map(|i| (x[i] - x[i - 1]).abs()).sum();
        let efficiency = if moves == 0.0 { 0.0 } else { (x[bar] - x[bar - n]).abs() / moves };
        let speed = (efficiency * (2.0 / 3.0 - 2.0 / 31.0) + 2.0 / 31.0).powi(2);
        (1.0 - speed) * average + speed * x[bar]
    })
}

pub(super) fn rsi(x: &[f64], n: usize) -> f64 {
    let moves = changes(x);
    let side = |sign: f64| {
        rma(
            &moves.iter().map(|change| if change.is_nan() { NA } else { (sign * change).max(0.0) }).collect::<Vec<_>>(),
            n,
        )
    };
    let (up, down) = (side(1.0), side(-1.0));
    match down {
        0.0 => 100.0,
        down => 100.0 * up / (up + down),
    }
}

fn mfi(past: &Past<'_>, n: usize) -> f64 {
    let x = past.typical();
    if x.len() < n {
        return NA;
    }
    let flow = |sign: f64| {
        (x.len() - n..x.len())
            .filter(|&i| i == 0 || sign * (x[i] - x[i - 1]) > 1e-10)
            .map(|i| x[i] * past.volume[i])
            .sum::<f64>()
    };
    match flow(-1.0) {
        0.0 => 100.0,
        down => 100.0 * flow(1.0) / (flow(1.0) + down),
    }
}

fn cmo(x: &[f64], n: usize) -> f64 {
    over(&changes(x), n, |moves| {
        let up: f64 = moves.iter().filter(|change| **change >= -1e-10).sum();
        let down: f64 = -moves.iter().filter(|change| **change < -1e-10).sum::<f64>();
        ratio(100.0 * (up - down), up + down)
    })
}

fn fisher(x: &[f64], n: usize) -> f64 {
    let (mut place, mut result) = (0.0, NA);
    for bar in n..=x.len() {
        let (high, low) = (highest(&x[..bar], n), lowest(&x[..bar], n));
        let inside = if high > low { (x[bar - 1] - low) / (high - low) - 0.5 } else { 0.0 };
        let raw: f64 = 0.66 * inside + 0.67 * place;
        place = if raw.abs() > 0.99 { 0.999_f64.copysign(raw) } else { raw };
        let before = if f64::is_nan(result) { 0.0 } else { result };
        result = f64::midpoint(((1.0 + place) / (1.0 - place)).ln(), before);
    }
    result
}

fn dmi(past: &Past<'_>, n: usize, m: usize) -> [f64; 3] {
    let moves = |sign: f64| {
        past.each(|i| {
            if i == 0 {
                return NA;
            }
            let (up, down) = (past.high[i] - past.high[i - 1], past.low[i - 1] - past.low[i]);
            let (this, other) = if sign > 0.0 { (up, down) } else { (down, up) };
            if this - other > 1e-10 && this > 1e-10 { this } else { 0.0 }
        })
    };
    let (range, up, down) = (past.true_range(false), moves(1.0), moves(-1.0));
    let index = |moves: &[f64], bars: usize| ratio(100.0 * rma(&moves[..bars], n), rma(&range[..bars], n));
    let strength: Vec<f64> = (1..=past.bars())
        .map(|bars| {
            let (plus, minus) = (index(&up, bars), index(&down, bars));
            (plus - minus).abs() / if plus + minus == 0.0 { 1.0 } else { plus + minus }
        })
        .collect();
    [index(&up, past.bars()), index(&down, past.bars()), 100.0 * rma(&strength, m)]
}

fn supertrend(past: &Past<'_>, factor: f64, n: usize) -> [f64; 2] {
    let middle = past.middle();
    let range = history(&past.true_range(true), |range| rma(range, n));
    let mut state: Option<(f64, f64, bool)> = None;
    for i in 0..past.bars() {
        let (low, high) = (middle[i] - factor * range[i], middle[i] + factor * range[i]);
        if range[i].is_nan() {
            continue;
        }
        state = Some(state.map_or((low, high, false), |(before_low, before_high, rises)| {
            let low = if past.close[i - 1] < before_low { low } else { low.max(before_low) };
            let high = if past.close[i - 1] > before_high { high } else { high.min(before_high) };
            (low, high, if rises { past.close[i] >= low } else { past.close[i] > high })
        }));
    }
    state.map_or([NA, NA], |(low, high, rises)| if rises { [low, -1.0] } else { [high, 1.0] })
}

fn sar(past: &Past<'_>) -> f64 {
    let (high, low) = (past.high, past.low);
    if past.bars() < 2 {
        return NA;
    }
    let mut rises = high[1] >= high[0];
    let mut speed = 0.02_f64;
    let (mut stop, mut best) = if rises { (low[0], high[1]) } else { (high[0], low[1]) };
    for i in 2..past.bars() {
        let next = stop + speed * (best - stop);
        if rises && low[i] < next {
            (rises, speed, stop) = (false, 0.02, best.max(high[i]).max(high[i - 1]).max(high[i - 2]));
            best = low[i];
        } else if !rises && high[i] > next {
            (rises, speed, stop) = (true, 0.02, best.min(low[i]).min(low[i - 1]).min(low[i - 2]));
            best = high[i];
        } else {
            stop = if rises { next.min(low[i - 1]).min(low[i - 2]) } else { next.max(high[i - 1]).max(high[i - 2]) };
            let extends = if rises { high[i] > best } else { low[i] < best };
            if extends {
                best = if rises { high[i] } else { low[i] };
                speed = (speed + 0.02).min(0.2);
            }
        }
    }
    stop
}

fn regression(x: &[f64], n: usize, offset: f64) -> f64 {
    over(x, n, |window| {
        let times: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let (middle, center) = (mean(window), mean(&times));
        let spread: f64 = times.iter().map(|time| (time - center).powi(2)).sum();
        let joint: f64 = times.iter().zip(window).map(|(time, y)| (time - center) * (y - middle)).sum();
        let slope = if n == 1 { 0.0 } else { joint / spread };
        middle + slope * (n as f64 - 1.0 - offset - center)
    })
}

fn correlation(x: &[f64], y: &[f64], n: usize) -> f64 {
    let (Some(x), Some(y)) = (window(x, n), window(y, n)) else { return NA };
    let (mx, my) = (mean(&x), mean(&y));
    let sum = |of: &dyn Fn(usize) -> f64| (0..n).map(of).sum::<f64>();
    let (vx, vy) = (sum(&|i| (x[i] - mx).powi(2)), sum(&|i| (y[i] - my).powi(2)));
    let is_flat = |x: &[f64]| x.iter().all(|number| number.to_bits() == x[0].to_bits());
    if is_flat(&x) || is_flat(&y) { NA } else { sum(&|i| (x[i] - mx) * (y[i] - my)) / (vx * vy).sqrt() }
}

/// The distance to the extreme in bars, to the oldest of equal ones.
fn extreme_bars(x: &[f64], n: usize, sign: f64) -> f64 {
    over(x, n, |window| {
        let best = window.iter().map(|number| sign * number).fold(NA, f64::max);
        let place = window.iter().position(|number| (sign * number).to_bits() == best.to_bits()).unwrap();
        place as f64 - (n as f64 - 1.0)
    })
}

fn pivot(x: &[f64], left: usize, right: usize, sign: f64) -> f64 {
    if x.len() < left + right + 1 {
        return NA;
    }
    let at = x.len() - 1 - right;
    let beaten =
        (at + 1..x.len()).all(|i| sign * x[i] < sign * x[at]) && (at - left..at).all(|i| sign * x[i] <= sign * x[at]);
    if beaten { x[at] } else { NA }
}

/// The day of a time, counted from 1970. A test of the calendar checks it day by day.
fn day_of(time: i64) -> i64 {
    time / 86_400_000
}

/// The results of a call on the last bar of `past`.
#[expect(clippy::too_many_lines, reason = "one line or two for each function")]
pub(super) fn model(name: &str, past: &Past<'_>, n: usize, m: usize) -> Vec<f64> {
    let (open, high, low, close, volume) = (past.open, past.high, past.low, past.close, past.volume);
    let now = past.bars() - 1;
    let (steps, flag) = (changes(close), f64::from);
    let ema_of = |x: &[f64], n: usize| history(x, |x| ema(x, n));
    let rises: Vec<bool> = (0..=now).map(|i| close[i] - open[i] > 1e-10).collect();
    let money = past.each(|i| close[i] * volume[i]);
    let result = match name {
        "ta.sma" => sma(close, n),
        "ta.ema" => ema(close, n),
        "ta.rma" => rma(close, n),
        "ta.wma" => wma(close, n),
        "ta.hma" => {
            let n = n + 1;
            let inner = history(close, |x| 2.0 * wma(x, n / 2) - wma(x, n));
            wma(&inner, (n as f64).sqrt() as usize)
        }
        "ta.vwma" => ratio(sma(&money, n), sma(volume, n)),
        "ta.alma" => over(close, n, |window| {
            let weight = |i: usize| (-((i as f64 - 0.85 * (n as f64 - 1.0)) / (n as f64 / 6.0)).powi(2) / 2.0).exp();
            let total: f64 = (0..n).map(weight).sum();
            window.iter().enumerate().map(|(i, number)| number * weight(i) / total).sum()
        }),
        "dema" => 2.0 * ema(close, n) - ema(&ema_of(close, n), n),
        "tema" => {
            let (one, two) = (ema_of(close, n), ema_of(&ema_of(close, n), n));
            3.0 * last(&one) - 3.0 * last(&two) + ema(&two, n)
        }
        "kama" => kama(close, n),
        "ta.rsi" => rsi(close, n),
        "ta.cci" => over(&past.typical(), n, |window| {
            let spread = mean(&window.iter().map(|number| (number - mean(window)).abs()).collect::<Vec<_>>());
            ratio(window[n - 1] - mean(window), 0.015 * spread)
        }),
        "ta.cmo" => cmo(close, n),
        "ta.mfi" => mfi(past, n),
        "ta.stoch" => ratio(100.0 * (close[now] - lowest(low, n)), highest(high, n) - lowest(low, n)),
        "ta.wpr" => ratio(100.0 * (close[now] - highest(high, n)), highest(high, n) - lowest(low, n)),
        "ta.change" | "ta.mom" => close[now] - ago(close, n),
        "ta.roc" => 100.0 * (close[now] / ago(close, n) - 1.0),
        "ta.tsi" => {
            let sizes: Vec<f64> = steps.iter().map(|step| step.abs()).collect();
            ratio(ema(&ema_of(&steps, n), m), ema(&ema_of(&sizes, n), m))
        }
        "trix" => {
            let thrice = ema_of(&ema_of(&ema_of(close, n), n), n);
            100.0 * (last(&thrice) / ago(&thrice, 1) - 1.0)
        }
        "ta.macd" => {
            let line = history(close, |x| ema(x, n) - ema(x, n + m));
            let signal = ema(&line, m);
            return vec![last(&line), signal, last(&line) - signal];
        }
        "fisher" => fisher(&past.middle(), n),
        "ta.tr" => past.true_range(false)[now],
        "ta.atr" => rma(&past.true_range(true), n),
        "ta.stdev" => variance(close, n).sqrt(),
        "ta.variance" => variance(close, n),
        "ta.highest" => highest(high, n),
        "ta.lowest" => lowest(low, n),
        "ta.highestbars" => extreme_bars(high, n, 1.0),
        "ta.lowestbars" => extreme_bars(low, n, -1.0),
        "ta.bb" => {
            let (middle, reach) = (sma(close, n), 2.0 * variance(close, n).sqrt());
            return vec![middle, middle + reach, middle - reach];
        }
        "ta.kc" => {
            let (middle, reach) = (ema(close, n), 1.5 * ema(&past.true_range(false), n));
            return vec![middle, middle + reach, middle - reach];
        }
        "ta.obv" | "ta.pvt" | "math.max" | "math.min" | "math.sign" if now == 0 => NA,
        "ta.obv" => (1..=now).map(|i| volume[i] * f64::from(close[i].total_cmp(&close[i - 1]) as i8)).sum(),
        "ta.accdist" => past.money_flow().iter().sum(),
        "ta.pvt" => (1..=now).map(|i| steps[i] / close[i - 1] * volume[i]).sum(),
        "cmf" => ratio(sma(&past.money_flow(), n), sma(volume, n)),
        "ta.dmi" => return dmi(past, n, m).to_vec(),
        "ta.supertrend" => return supertrend(past, 1.5, n).to_vec(),
        "ta.sar" => sar(past),
        "aroon" => {
            let place = |bars: f64| 100.0 * (bars + n as f64) / n as f64;
            return vec![place(extreme_bars(high, n + 1, 1.0)), place(extreme_bars(low, n + 1, -1.0))];
        }
        "vortex" => {
            let up = past.each(|i| if i == 0 { NA } else { (high[i] - low[i - 1]).abs() });
            let down = past.each(|i| if i == 0 { NA } else { (low[i] - high[i - 1]).abs() });
            let range = sma(&past.true_range(false), n);
            return vec![ratio(sma(&up, n), range), ratio(sma(&down, n), range)];
        }
        "ta.linreg" => regression(close, n, 1.0),
        "ta.correlation" => correlation(close, volume, n),
        "ta.percentrank" => over(close, n + 1, |window| {
            100.0 * window[..n].iter().filter(|number| **number <= window[n]).count() as f64 / n as f64
        }),
        "ta.median" => over(close, n, |window| {
            let mut sorted = window.to_vec();
            sorted.sort_by(f64::total_cmp);
            f64::midpoint(sorted[n / 2], sorted[(n - 1) / 2])
        }),
        "math.sum" => over(close, n, |window| window.iter().sum()),
        "ta.cum" => volume.iter().sum(),
        "ta.crossover" => flag(now > 0 && close[now] > open[now] && close[now - 1] <= open[now - 1]),
        "ta.crossunder" => flag(now > 0 && close[now] < open[now] && close[now - 1] >= open[now - 1]),
        "ta.barssince" => rises.iter().rev().position(|rises| *rises).map_or(NA, |bars| bars as f64),
        "ta.valuewhen" => (0..=now).rev().filter(|i| rises[*i]).nth(1).map_or(NA, |i| close[i]),
        "ta.rising" => flag(now >= m && (now + 1 - m..=now).all(|i| steps[i] > 1e-10)),
        "ta.falling" => flag(now >= m && (now + 1 - m..=now).all(|i| steps[i] < -1e-10)),
        "running_max" | "running_min" | "running_sum" => {
            let Some(bars) = past.since_three() else { return vec![NA] };
            let counted = || bars.clone().filter(|i| *i == bars.start || rises[*i]);
            match name {
                "running_max" => counted().map(|i| high[i]).fold(NA, f64::max),
                "running_min" => counted().map(|i| low[i]).fold(NA, f64::min),
                _ => volume[bars].iter().sum(),
            }
        }
        "ta.pivothigh" => pivot(high, m, 2, 1.0),
        "ta.pivotlow" => pivot(low, m, 2, -1.0),
        "ha_open" => (1..=now).fold(f64::midpoint(open[0], close[0]), |before, i| {
            f64::midpoint(before, (open[i - 1] + high[i - 1] + low[i - 1] + close[i - 1]) / 4.0)
        }),
        "minute" => (past.time[now] / 60_000 % 60) as f64,
        "hour" => past.hour(now) as f64,
        // 2024-01-01 is day 19,723, a Monday, and 2024 is a leap year.
        "dayofweek" => ((day_of(past.time[now]) - 19_723 + 1) % 7 + 1) as f64,
        "dayofmonth" | "month" => {
            let mut day = day_of(past.time[now]) - 19_723;
            let lengths =
                [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
                    .into_iter();
            let month = lengths.take_while(|length| (day >= *length).then(|| day -= length).is_some()).count();
            if name == "month" { (month % 12 + 1) as f64 } else { (day + 1) as f64 }
        }
        "math.abs" => (close[now] - open[now]).abs(),
        "math.max" => close[now].max(open[now - 1]),
        "math.min" => close[now].min(open[now - 1]),
        "math.sqrt" => (close[now] - open[now]).sqrt(),
        "math.log" => close[now].ln(),
        "math.exp" => (close[now] / open[now]).exp(),
        "math.pow" => (close[now] / open[now]).powf(1.5),
        "math.sign" => f64::from(close[now] > open[now - 1]) - f64::from(close[now] < open[now - 1]),
        "math.floor" => (volume[now] / 7.0).floor(),
        "math.ceil" => (volume[now] / 7.0).ceil(),
        "nz" if now < n => open[now],
        "nz" => close[now - n],
        "na" => flag(now < n),
        _ => panic!("{name} has no model"),
    };
    vec![result]
}
