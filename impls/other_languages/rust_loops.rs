//! LSTM and GRU in Rust, with the standard library alone. It speaks the protocol of
//! docs/protocol.md; numbers are `f64` here, read and written in the layer's dtype.
//!
//! The suite writes its lines without blanks, in a fixed order of keys and in ASCII, so that keys
//! can be searched for: no parser of JSON is needed.
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

const HELLO: &str = r#""protocol":1,"name":"rust_loops","kinds":["LSTM","GRU"],"level":"inference","features":["bidirectional","multi_layer","batch_first","bias_free","initial_state","unbatched","packed","projection","empty_batch"],"dtypes":["float32","float64"]"#;

struct Array {
    dtype: String,
    shape: Vec<usize>,
    data: Vec<f64>,
}

/// What belongs to one layer and direction.
struct Weights {
    ih: Array,
    hh: Array,
    biases: Option<(Array, Array)>,
    hr: Option<Array>,
}

struct Layer {
    lstm: bool,
    dtype: String,
    batch_first: bool,
    directions: usize,
    layers: usize,
    inputs: usize,
    hidden: usize,
    output: usize,
    weights: Vec<Weights>,
}

type Arrays = HashMap<String, Array>;
type Results = Vec<(&'static str, Array)>;

/// What follows a key, to the end of the text.
fn after<'a>(text: &'a str, key: &str) -> &'a str {
    let quoted = format!("\"{key}\":");
    text.find(&quoted).map_or("", |at| &text[at + quoted.len()..])
}

fn number(text: &str, key: &str) -> usize {
    let digits = after(text, key);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

fn word(text: &str, key: &str) -> String {
    after(text, key).split('"').nth(1).unwrap_or("").to_string()
}

fn is_true(text: &str, key: &str) -> bool {
    after(text, key).starts_with("true")
}

/// The arrays that a line lists, in order, each with its bytes read.
fn read_arrays(line: &str, input: &mut impl Read) -> io::Result<Vec<(String, Array)>> {
    let mut arrays = Vec::new();
    for listed in after(line, "arrays").split("{\"name\":").skip(1) {
        let name = listed.split('"').nth(1).unwrap_or("").to_string();
        let dtype = word(listed, "dtype");
        let inside = after(listed, "shape").trim_start_matches('[').split(']').next().unwrap_or("");
        let shape: Vec<usize> = inside.split(',').filter_map(|n| n.parse().ok()).collect();
        let width = match dtype.as_str() {
            "float16" => 2,
            "float32" => 4,
            _ => 8,
        };
        let mut raw = vec![0; shape.iter().product::<usize>() * width];
        input.read_exact(&mut raw)?;
        let data = raw
            .chunks_exact(width)
            .map(|bytes| match dtype.as_str() {
                "float16" => f64::NAN, // refused when a layer is built
                "float32" => f32::from_le_bytes(bytes.try_into().unwrap()) as f64,
                "int64" => i64::from_le_bytes(bytes.try_into().unwrap()) as f64,
                _ => f64::from_le_bytes(bytes.try_into().unwrap()),
            })
            .collect();
        arrays.push((name, Array { dtype, shape, data }));
    }
    Ok(arrays)
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// The rows of `weight` times `x`, and `bias` where there is one.
fn product(weight: &Array, bias: Option<&Array>, x: &[f64]) -> Vec<f64> {
    weight
        .data
        .chunks_exact(weight.shape[1])
        .enumerate()
        .map(|(row, weights)| {
            let sum: f64 = weights.iter().zip(x).map(|(w, x)| w * x).sum();
            sum + bias.map_or(0.0, |bias| bias.data[row])
        })
        .collect()
}

/// One step of one sample: `h` and `c` become the next ones.
fn step(layer: &Layer, w: &Weights, x: &[f64], h: &mut Vec<f64>, c: &mut [f64]) {
    let size = layer.hidden;
    let a = product(&w.ih, w.biases.as_ref().map(|b| &b.0), x);
    let b = product(&w.hh, w.biases.as_ref().map(|b| &b.1), h);
    let gate = |g: usize, u: usize| a[g * size + u] + b[g * size + u];
    if layer.lstm {
        for u in 0..size {
            c[u] = sigmoid(gate(1, u)) * c[u] + sigmoid(gate(0, u)) * gate(2, u).tanh();
        }
        let full: Vec<f64> = (0..size).map(|u| sigmoid(gate(3, u)) * c[u].tanh()).collect();
        *h = w.hr.as_ref().map_or(full.clone(), |hr| product(hr, None, &full));
    } else {
        for u in 0..size {
            let z = sigmoid(gate(1, u));
            let n = (a[2 * size + u] + sigmoid(gate(0, u)) * b[2 * size + u]).tanh();
            h[u] = (1.0 - z) * n + z * h[u];
        }
    }
}

fn build(line: &str, arrays: Vec<(String, Array)>) -> Result<Layer, String> {
    let config = after(line, "config");
    let (kind, dtype) = (word(config, "kind"), word(line, "dtype"));
    if kind != "LSTM" && kind != "GRU" {
        return Err(format!("no {kind}"));
    }
    if dtype != "float32" && dtype != "float64" {
        return Err(format!("no {dtype}"));
    }
    if !after(config, "dropout").starts_with("0.0,") {
        return Err("no dropout".into());
    }
    let projected = number(config, "proj_size");
    let hidden = number(config, "hidden_size");
    let directions = 1 + usize::from(is_true(config, "bidirectional"));
    let layers = number(config, "num_layers");
    // The parameters come in torch.nn's order.
    let mut rest = arrays.into_iter().map(|(_, array)| array);
    let mut next = || rest.next().ok_or("a parameter is missing");
    let mut weights = Vec::new();
    for _ in 0..layers * directions {
        let (ih, hh) = (next()?, next()?);
        let biases = if is_true(config, "bias") { Some((next()?, next()?)) } else { None };
        let hr = if projected > 0 { Some(next()?) } else { None };
        weights.push(Weights { ih, hh, biases, hr });
    }
    Ok(Layer {
        lstm: kind == "LSTM",
        dtype,
        batch_first: is_true(config, "batch_first"),
        directions,
        layers,
        inputs: number(config, "input_size"),
        hidden,
        output: if projected > 0 { projected } else { hidden },
        weights,
    })
}

/// A state as it is given, or zeros.
fn initial(given: Option<&Array>, dtype: &str, shape: &[usize]) -> Result<Vec<f64>, String> {
    match given {
        None => Ok(vec![0.0; shape.iter().product()]),
        Some(array) if array.dtype == dtype && array.shape == shape => Ok(array.data.clone()),
        Some(array) => Err(format!("a state of {:?} must have {shape:?}", array.shape)),
    }
}

fn call(layer: &Layer, arrays: &Arrays) -> Result<Results, String> {
    let input = arrays.get("input").ok_or("no input")?;
    if input.shape.len() != 2 && input.shape.len() != 3 {
        return Err("input has 2 or 3 axes".into());
    }
    let unbatched = input.shape.len() == 2;
    let swapped = layer.batch_first && !unbatched;
    let steps = input.shape[usize::from(swapped)];
    let samples = if unbatched { 1 } else { input.shape[usize::from(!swapped)] };
    let features = input.shape[input.shape.len() - 1];
    if features != layer.inputs || steps == 0 || input.dtype != layer.dtype {
        return Err(format!("an input of {:?} in {} does not fit", input.shape, input.dtype));
    }
    let lengths: Vec<usize> = match arrays.get("lengths") {
        None => vec![steps; samples],
        Some(given) => {
            let fit = given.data.iter().all(|&n| n >= 1.0 && n <= steps as f64);
            if unbatched || given.data.len() != samples || !fit {
                return Err("the lengths do not fit the input".into());
            }
            given.data.iter().map(|&n| n as usize).collect()
        }
    };
    let (h_0, c_0) = (arrays.get("h_0"), arrays.get("c_0"));
    if c_0.is_some() != (layer.lstm && h_0.is_some()) {
        return Err("the state is h_0 and c_0 for an LSTM, h_0 for a GRU".into());
    }
    let (directions, hidden, width) = (layer.directions, layer.hidden, layer.output);
    let shaped = |first: &[usize], last: usize| [first, &[last]].concat();
    let places = directions * layer.layers;
    let batch = if unbatched { vec![places] } else { vec![places, samples] };
    let (h_shape, c_shape) = (shaped(&batch, width), shaped(&batch, hidden));
    let mut h_n = initial(h_0, &layer.dtype, &h_shape)?;
    let mut c_n = initial(c_0, &layer.dtype, &c_shape)?;

    // Where step t of sample n stands, in what the caller gives and gets.
    let place = |t: usize, n: usize| if swapped { n * steps + t } else { t * samples + n };
    let (mut x, mut size) = (input.data.clone(), features);
    for k in 0..layer.layers {
        let mut y = vec![0.0; steps * samples * directions * width];
        for d in 0..directions {
            let weights = &layer.weights[k * directions + d];
            for (n, &own) in lengths.iter().enumerate() {
                let at = (k * directions + d) * samples + n;
                let mut h = h_n[at * width..(at + 1) * width].to_vec();
                let c = &mut c_n[at * hidden..(at + 1) * hidden];
                // Padding is no step: the reverse direction begins at each sequence's own end.
                for s in 0..own {
                    let here = place(if d == 1 { own - 1 - s } else { s }, n);
                    step(layer, weights, &x[here * size..(here + 1) * size], &mut h, c);
                    let from = (here * directions + d) * width;
                    y[from..from + width].copy_from_slice(&h);
                }
                h_n[at * width..(at + 1) * width].copy_from_slice(&h);
            }
        }
        (x, size) = (y, directions * width);
    }
    let shape = shaped(&input.shape[..input.shape.len() - 1], size);
    let array = |shape, data| Array { dtype: layer.dtype.clone(), shape, data };
    let mut results = vec![("output", array(shape, x)), ("h_n", array(h_shape, h_n))];
    if layer.lstm {
        results.push(("c_n", array(c_shape, c_n)));
    }
    Ok(results)
}

fn write_results(id: usize, results: &Results, out: &mut impl Write) -> io::Result<()> {
    let listed: Vec<String> = results
        .iter()
        .map(|(name, a)| {
            format!(r#"{{"name":"{name}","dtype":"{}","shape":{:?}}}"#, a.dtype, a.shape)
        })
        .collect();
    writeln!(out, r#"{{"id":{id},"arrays":[{}]}}"#, listed.join(","))?;
    for (_, array) in results {
        for &value in &array.data {
            if array.dtype == "float32" {
                out.write_all(&(value as f32).to_le_bytes())?;
            } else {
                out.write_all(&value.to_le_bytes())?;
            }
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut out = BufWriter::new(io::stdout().lock());
    let mut layers: HashMap<usize, Layer> = HashMap::new();
    let mut line = String::new();
    while input.read_line(&mut line)? > 0 {
        let arrays = read_arrays(&line, &mut input)?;
        let (id, asked) = (number(&line, "id"), number(&line, "layer"));
        let answered: Result<Results, String> = match word(&line, "do").as_str() {
            "hello" => {
                writeln!(out, "{{\"id\":{id},{HELLO}}}")?;
                out.flush()?;
                line.clear();
                continue;
            }
            "build" => build(&line, arrays).map(|layer| {
                layers.insert(asked, layer);
                Vec::new()
            }),
            "call" => match layers.get(&asked) {
                Some(layer) => call(layer, &arrays.into_iter().collect()),
                None => Err("no such layer".into()),
            },
            "free" => {
                layers.remove(&asked);
                Ok(Vec::new())
            }
            other => Err(format!("there is nothing to do that is called {other} here")),
        };
        match answered {
            Ok(results) => write_results(id, &results, &mut out)?,
            Err(why) => writeln!(out, r#"{{"id":{id},"refused":"{why}"}}"#)?,
        }
        out.flush()?;
        line.clear();
    }
    Ok(())
}
