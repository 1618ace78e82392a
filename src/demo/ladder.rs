//! Draws a call's ladder: who said what to whom, and when. Pure text, a line a message.

/// Who says something, as a place among the columns.
pub(super) type Column = usize;

/// What kind of line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// A SIP request.
    Request,
    /// A SIP response, with its status.
    Response(u16),
    /// A callback or its answer; `false`: one that is not right.
    Callback(bool),
    /// Speech, both ways.
    Speech,
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Milliseconds since the call began.
    pub(super) at_ms: f64,
    pub(super) from: Column,
    pub(super) to: Column,
    pub(super) label: String,
    pub(super) tone: Tone,
}

/// Columns of the screen before the first life line.
const MARGIN: usize = 11;
const WIDTH_MAX: usize = 100;
const GAP_MAX: usize = 26;

/// The ladder, with a line end after each line.
pub(super) fn draw(names: &[&str], steps: &[Step], colour: bool) -> String {
    assert!(names.len() >= 2);
    let gap = ((WIDTH_MAX - MARGIN - 8) / (names.len() - 1)).min(GAP_MAX);
    let mut text = heading(names, gap);
    text.push_str(&life_lines(names.len(), gap, '╷'));
    for step in steps {
        let line: String = format!("{:>8.1}   ", step.at_ms);
        text.push_str(&paint(&line, "2", colour));
        text.push_str(&arrow(names.len(), gap, step, colour));
        text.push('\n');
    }
    text.push_str(&life_lines(names.len(), gap, '╵'));
    text
}

/// `text` in a terminal's colour.
pub(super) fn paint(text: &str, code: &str, colour: bool) -> String {
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn heading(names: &[&str], gap: usize) -> String {
    let mut line = vec![' '; MARGIN + gap * names.len() + 8];
    for (index, name) in names.iter().enumerate() {
        let start = (MARGIN + index * gap).saturating_sub(name.chars().count() / 2);
        for (at, letter) in name.chars().enumerate() {
            line[start + at] = letter;
        }
    }
    let at = "ms".chars().enumerate();
    at.for_each(|(place, letter)| line[4 + place] = letter);
    format!("{}\n", line.into_iter().collect::<String>().trim_end())
}

fn life_lines(columns: usize, gap: usize, sign: char) -> String {
    let mut line = vec![' '; MARGIN + gap * (columns - 1) + 1];
    (0..columns).for_each(|index| line[MARGIN + index * gap] = sign);
    format!("{}\n", line.into_iter().collect::<String>())
}

fn arrow(columns: usize, gap: usize, step: &Step, colour: bool) -> String {
    let mut line = vec![' '; gap * (columns - 1) + 1];
    (0..columns).for_each(|index| line[index * gap] = '│');
    let (left, right) = (step.from.min(step.to), step.from.max(step.to));
    let stroke = if step.tone == Tone::Speech { '═' } else { '─' };
    for sign in &mut line[left * gap + 1..right * gap] {
        *sign = match (*sign, step.tone) {
            ('│', Tone::Speech) => '╪',
            ('│', _) => '┼',
            _ => stroke,
        };
    }
    if step.from < step.to || step.tone == Tone::Speech {
        line[right * gap - 1] = '▶';
    }
    if step.to < step.from || step.tone == Tone::Speech {
        line[left * gap + 1] = '◀';
    }
    // What spans several gaps is named beside its own end, away from the edge.
    let first = if step.tone == Tone::Speech { left } else { right - 1 };
    write_label(&mut line[first * gap + 1..(first + 1) * gap], &step.label);
    let part = |range: std::ops::Range<usize>| line[range].iter().collect::<String>();
    let middle = paint(&part(left * gap + 1..right * gap), code(step.tone), colour);
    format!("{}{middle}{}", part(0..left * gap + 1), part(right * gap..line.len()))
}

fn write_label(gap: &mut [char], label: &str) {
    // The arrow's head and a blank on both sides stay.
    let room = gap.len() - 3;
    let mut letters: Vec<char> = label.chars().collect();
    if letters.len() > room {
        letters.truncate(room - 1);
        letters.push('…');
    }
    let start = (gap.len() - letters.len()).div_ceil(2);
    gap[start - 1] = ' ';
    gap[start + letters.len()] = ' ';
    gap[start..start + letters.len()].copy_from_slice(&letters);
}

const fn code(tone: Tone) -> &'static str {
    match tone {
        Tone::Request => "36",
        Tone::Response(..200) => "2",
        Tone::Response(..300) => "32",
        Tone::Response(_) | Tone::Callback(false) => "31",
        Tone::Callback(true) => "35",
        Tone::Speech => "1;34",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(from: Column, to: Column, label: &str, tone: Tone) -> Step {
        Step { at_ms: 1.25, from, to, label: label.to_owned(), tone }
    }

    #[test]
    fn lines_are_where_they_belong() {
        let steps = [
            step(0, 1, "INVITE (SDP)", Tone::Request),
            step(1, 0, "486 Busy Here, and a reason that goes on and on", Tone::Response(486)),
            step(1, 3, "POST ice", Tone::Callback(true)),
            step(0, 2, "RTP", Tone::Speech),
        ];
        let names = ["caller", "edge", "carrier", "callback"];
        let text = draw(&names, &steps, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 + steps.len() + 1);
        assert!(lines[0].find("caller") < lines[0].find("callback"));
        assert!(lines[2].starts_with("     1.2   │─"), "{text}");
        assert!(lines[2].contains("─ INVITE (SDP) ─") && lines[2].contains("▶│"), "{text}");
        assert!(lines[3].contains("│◀") && lines[3].contains("… "), "{text}");
        assert!(lines[4].contains('┼') && lines[4].ends_with("▶│"), "{text}");
        assert!(lines[5].contains("│◀") && lines[5].contains('╪'), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH_MAX), "{text}");
        assert!(!text.contains('\x1b') && draw(&names, &steps, true).contains("\x1b[31m"));
    }

    #[test]
    fn five_columns_fit_the_screen() {
        let names = ["caller", "edge", "full carrier", "carrier", "callback"];
        let steps = [step(1, 4, "POST dice ANSWERED CALLERHANGUP", Tone::Callback(false))];
        let text = draw(&names, &steps, false);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH_MAX), "{text}");
    }
}
