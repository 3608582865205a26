//! What happened over time, as a picture: one line to a panel, faults as vertical lines.

use std::{fs, path::Path};

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// A panel.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: &'static str,
    /// Seconds and values.
    pub(super) values: Vec<(f64, f64)>,
}

const WIDTH: u32 = 1100;
const HEIGHT: u32 = 170;

/// Draws the panels below each other.
pub(super) fn draw(file: &Path, panels: &[Panel], marks: &[(f64, &'static str)]) -> Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let count = u32::try_from(panels.len())?;
    let area = SVGBackend::new(file, (WIDTH, HEIGHT * count)).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw {}: {error}", file.display());
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    for (panel, part) in panels.iter().zip(area.split_evenly((panels.len(), 1))) {
        let end = panel.values.last().map_or(1.0, |(at, _)| at.max(1.0));
        let most = panel.values.iter().map(|(_, value)| *value).fold(0.0, f64::max).max(1.0) * 1.1;
        let mut chart = ChartBuilder::on(&part)
            .caption(panel.title, ("sans-serif", 15))
            .margin(6)
            .x_label_area_size(22)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..end, 0.0..most)
            .map_err(|error| failed(&error))?;
        chart.configure_mesh().light_line_style(WHITE).y_labels(4).draw().map_err(|error| failed(&error))?;
        let lines = marks.iter().map(|(at, _)| PathElement::new([(*at, 0.0), (*at, most)], BLACK.mix(0.12)));
        chart.draw_series(lines).map_err(|error| failed(&error))?;
        let line = LineSeries::new(panel.values.iter().copied(), BLUE);
        chart.draw_series(line).map_err(|error| failed(&error))?;
    }
    area.present().map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("new/a.svg");
        let panel = |title| Panel { title, values: (0..10).map(|at| (f64::from(at), 3.0)).collect() };
        draw(&file, &[panel("requests"), panel("memory")], &[(4.0, "kill -9")]).expect("drawn");
        let text = fs::read_to_string(&file).expect("there");
        assert!(text.starts_with("<svg") && text.contains("memory"), "{text}");
    }
}
