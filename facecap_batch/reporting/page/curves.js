// The curves of a take, as `reporting/curves.py` packs them.

const UNKNOWN = -(2 ** 31);
const HEAD_ANGLES = ["headYaw", "headPitch", "headRoll"];
const SEEN = 2, BRIDGED = 1;

/** Undoes differences, modulo the type of the array. */
function summed(plane) {
  for (let row = 1; row < plane.length; row++) plane[row] += plane[row - 1];
  return plane;
}

/** One person in a take; rows run over the frames. */
class Track {
  constructor(header, block, next) {
    const rows = header.rows;
    this.number = header.track;
    this.rows = rows;
    this.shots = header.shots;
    this.resting = header.resting;
    this.times = Float64Array.from(summed(next(Int32Array, rows)), (count) => count * header.time_unit);
    this.state = next(Uint8Array, rows);
    this.moving = new Map();
    const Kind = block.levels > 255 ? Uint16Array : Uint8Array;
    for (const name of header.moving) {
      const plane = summed(next(Kind, rows));
      this.moving.set(name, Float32Array.from(plane, (level) => (level > block.levels ? NaN : level / block.levels)));
    }
    const units = [block.angle_unit, block.angle_unit, block.angle_unit];
    units.push(block.position_unit, block.position_unit, block.position_unit);
    this.head = units.map((unit) =>
      Float32Array.from(summed(next(Int32Array, rows)), (count) => (count === UNKNOWN ? NaN : count * unit)),
    );
  }

  /** The frame that is shown at a time, seconds since the take's first frame. */
  rowAt(time) {
    let low = 0, high = this.rows - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.times[middle] <= time + 1e-6) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** A coefficient in a frame; NaN where it is not known. */
  value(name, row) {
    const curve = this.moving.get(name);
    if (curve) return curve[row];
    return this.resting[name] ?? NaN;
  }

  /** The head's yaw, pitch and roll in a frame, radians. */
  angles(row) {
    return [this.head[0][row], this.head[1][row], this.head[2][row]];
  }
}

/** @returns {{tracks: Track[], events: Object[], offset: number, first: number, length: number}} times in seconds */
function unpackedCurves(buffer) {
  const { header, next } = openedBlock(buffer);
  const tracks = header.tracks.map((track) => new Track(track, header, next));
  const main = tracks[0];
  const step = main && main.rows > 1 ? main.times[main.rows - 1] - main.times[main.rows - 2] : 0;
  const events = header.events.map(([track, name, side, start, peakAt, end, peak]) => ({
    track, name, side, start, peakAt, end, peak,
  }));
  return {
    tracks,
    events,
    offset: header.video_offset_s,
    first: header.first_s,
    length: main && main.rows ? main.times[main.rows - 1] + step : 0,
  };
}
