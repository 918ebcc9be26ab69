//! `tare boot plot`: the boot as a picture, with a bar for each part.

use crate::units::seconds;
use tare_control::{GetBootTimeline, GetStatus, Span, SpanKind};

/// Sizes in the picture's units.
const MARGIN: f64 = 20.0;
const TOP: f64 = 80.0;
const ROW: f64 = 20.0;
const BAR: f64 = 14.0;
const WIDTH: f64 = 1000.0;
/// Room for the label of a bar that ends at the right.
const LABELS: f64 = 220.0;

/// Steps of the axis in microseconds, finest first.
const STEPS: [u64; 9] = [
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    60_000_000,
    600_000_000,
];
/// More lines than this make the axis hard to read.
const MOST_LINES: u64 = 30;

const LOOKS: &str = "\
text{font:12px sans-serif;fill:#222}.title{font-size:16px;font-weight:bold}\
.grid{stroke:#ddd}.axis{fill:#777;font-size:10px}.stage{fill:#4a6fa5}.service{fill:#d98032}\
.required{fill:#b8442f}.before{fill:#999}.open{fill-opacity:.4}.ready{stroke:#2e7d32;stroke-dasharray:4 3}";

/// A bar: a part of the boot on the picture's own axis, which begins with the firmware.
struct Bar {
    name: String,
    class: &'static str,
    from: u64,
    /// `None` while it lasts.
    to: Option<u64>,
}

/// The picture as SVG.
pub(crate) fn plot(timeline: &GetBootTimeline, machine: &GetStatus) -> String {
    let kernel = timeline.firmware.unwrap_or(0) + timeline.loader.unwrap_or(0);
    let bars = bars(timeline, kernel);
    let ready = timeline.ready_at.map(|at| at + kernel);
    let ends = bars.iter().map(|bar| bar.to.unwrap_or(bar.from));
    let end = ends.chain(ready).max().unwrap_or(0).max(STEPS[0]);
    let picture = Picture {
        end,
        height: TOP + ROW * bars.len() as f64 + MARGIN,
    };
    let rows = bars.iter().enumerate();
    let rows: String = rows.map(|(n, bar)| picture.bar(n, bar)).collect();
    let ready = ready.map(|at| picture.ready(at)).unwrap_or_default();
    let title = title(timeline, machine);
    format!(
        "{}{title}{}{rows}{ready}</svg>\n",
        picture.head(),
        picture.grid()
    )
}

fn bars(timeline: &GetBootTimeline, kernel: u64) -> Vec<Bar> {
    let before = |name: &str, from, length: Option<u64>| {
        length.map(|length| Bar {
            name: name.to_owned(),
            class: "before",
            from,
            to: Some(from + length),
        })
    };
    let firmware = before("firmware", 0, timeline.firmware);
    let loader = before(
        "boot loader",
        timeline.firmware.unwrap_or(0),
        timeline.loader,
    );
    let spans = timeline.spans.iter().map(|span| Bar {
        name: span.name.clone(),
        class: class(span),
        from: span.began + kernel,
        to: span.ended.map(|at| at + kernel),
    });
    firmware.into_iter().chain(loader).chain(spans).collect()
}

fn class(span: &Span) -> &'static str {
    match span.kind {
        SpanKind::Stage => "stage",
        SpanKind::Service if span.required => "required",
        SpanKind::Service => "service",
    }
}

fn title(timeline: &GetBootTimeline, machine: &GetStatus) -> String {
    let what = format!(
        "{}: Tare {}, Linux {}",
        machine.hostname, machine.version, machine.kernel
    );
    let when = match timeline.ready_at {
        Some(at) => format!("ready {} after the kernel started", seconds(at)),
        None => "not ready yet".to_owned(),
    };
    let legend = "blue: kernel and PID 1, red: required services, orange: other services";
    format!(
        "<text class=\"title\" x=\"{MARGIN}\" y=\"24\">{}</text>\n\
         <text x=\"{MARGIN}\" y=\"44\">{when}; {legend}</text>\n",
        escaped(&what)
    )
}

struct Picture {
    /// Where the axis ends, in microseconds.
    end: u64,
    height: f64,
}

impl Picture {
    fn head(&self) -> String {
        let (width, height) = (WIDTH + LABELS, self.height);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\">\n<style>{LOOKS}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        )
    }

    fn x(&self, micros: u64) -> f64 {
        let across = micros as f64 / self.end as f64;
        MARGIN + across * (WIDTH - 2.0 * MARGIN)
    }

    fn grid(&self) -> String {
        let fits = |step: &&u64| self.end / **step <= MOST_LINES;
        let step = STEPS.iter().find(fits).unwrap_or(&STEPS[STEPS.len() - 1]);
        let lines = (0..=self.end / step).map(|n| n * step);
        lines.map(|at| self.line(at)).collect()
    }

    fn line(&self, at: u64) -> String {
        let (x, bottom) = (self.x(at), self.height - MARGIN);
        let label = at as f64 / 1e6;
        format!(
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text class=\"axis\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label} s</text>\n",
            TOP - 6.0
        )
    }

    fn bar(&self, n: usize, bar: &Bar) -> String {
        let y = TOP + ROW * n as f64 + (ROW - BAR) / 2.0;
        let (from, to) = (self.x(bar.from), self.x(bar.to.unwrap_or(self.end)));
        let open = if bar.to.is_none() { " open" } else { "" };
        let took = bar.to.map_or("…".to_owned(), |to| seconds(to - bar.from));
        let name = escaped(&bar.name);
        format!(
            "<rect class=\"{}{open}\" x=\"{from:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAR}\">\
             <title>{name}: {} + {took}</title></rect>\
             <text x=\"{:.1}\" y=\"{}\">{name} ({took})</text>\n",
            bar.class,
            (to - from).max(1.0),
            seconds(bar.from),
            to.max(from + 1.0) + 5.0,
            y + BAR - 3.0
        )
    }

    fn ready(&self, at: u64) -> String {
        let (x, bottom) = (self.x(at), self.height - MARGIN);
        format!(
            "<line class=\"ready\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\n"
        )
    }
}

/// Text escaped for XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
