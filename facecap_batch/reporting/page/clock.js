// What time it is in a take: by its video where that plays, else by the clock of the page. Times are seconds since the
// take's first frame. A video is asked which picture it shows (requestVideoFrameCallback), not what time it says.

const INTO_FRAME = 0.002; // seconds behind a frame's begin that a video is sent to: rounding shows no other picture

class TakeClock {
  /**
   * @param {{times: Float64Array, rowAt: Function}} track whose frames are stepped through
   * @param {number} length seconds
   * @param {Function} onTime called with the time whenever it changes
   */
  constructor(track, length, onTime) {
    this.track = track;
    this.length = length;
    this.onTime = onTime;
    this.time = 0;
    this.isPlaying = false;
    this.video = null;
    this.onState = () => {};
  }

  /** From now on `video` tells the time, whose picture at `offset` seconds is the take's first. */
  follow(video, offset) {
    this.video = video;
    this.offset = offset;
    video.addEventListener("pause", () => {
      this.#shown(video.currentTime - offset); // at its end; a busy browser may have told of no picture for a while
      this.#stopped();
    });
    if (video.requestVideoFrameCallback) {
      const seen = (_, frame) => {
        if (this.video !== video) return;
        this.#shown(frame.mediaTime - offset);
        video.requestVideoFrameCallback(seen);
      };
      video.requestVideoFrameCallback(seen);
    } else {
      video.addEventListener("timeupdate", () => this.#shown(video.currentTime - offset));
    }
    this.seek(this.time);
  }

  /** The video cannot be played: the page's own clock goes on. */
  leave() {
    this.video = null;
    this.pause();
  }

  seek(time) {
    this.time = Math.max(0, Math.min(time, this.length));
    if (this.video && !this.isPlaying) {
      const frame = this.track ? this.track.times[this.track.rowAt(this.time)] : this.time;
      this.video.currentTime = Math.max(0, frame + this.offset) + INTO_FRAME;
    } else if (this.video) {
      this.video.currentTime = Math.max(0, this.time + this.offset);
    }
    this.last = performance.now();
    this.onTime(this.time);
  }

  /** Goes on by frames, or back. */
  step(frames) {
    if (!this.track || !this.track.rows) return;
    this.pause();
    const row = this.track.rowAt(this.time) + frames;
    this.seek(this.track.times[Math.max(0, Math.min(row, this.track.rows - 1))]);
  }

  toggle() {
    if (this.isPlaying) this.pause();
    else this.play();
  }

  play() {
    if (this.isPlaying || !this.length) return;
    if (this.time >= this.length - 1e-3 || (this.track && this.track.rowAt(this.time) === this.track.rows - 1)) this.seek(0);
    this.isPlaying = true;
    this.onState();
    if (this.video) this.video.play().catch(() => this.#stopped());
    this.last = performance.now();
    requestAnimationFrame(() => this.#tick());
  }

  pause() {
    this.isPlaying = false;
    if (this.video) this.video.pause();
    this.onState();
  }

  #stopped() {
    this.isPlaying = false;
    this.onState();
  }

  #shown(time) {
    if (!this.isPlaying) return; // a picture that a seek has brought: the time is already that of the seek
    this.time = Math.max(0, Math.min(time, this.length));
    this.onTime(this.time);
    if (time >= this.length) { // the take is a part of its video
      this.pause();
      this.seek(this.length);
    }
  }

  #tick() {
    if (!this.isPlaying) return;
    const now = performance.now();
    if (!this.video) {
      const time = this.time + (now - this.last) / 1000;
      this.last = now;
      this.time = Math.min(time, this.length);
      this.onTime(this.time);
      if (time >= this.length) {
        this.pause();
        return;
      }
    } else if (this.video.currentTime - this.offset >= this.length) {
      this.#shown(this.video.currentTime - this.offset);
    }
    requestAnimationFrame(() => this.#tick());
  }
}
