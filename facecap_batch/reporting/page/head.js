// The head: WebGL2, morph targets added up here, seen as the camera of the video sees it. Left and right are the
// subject's, and nothing is mirrored: the subject's left is on the right.

const CENTRE = [0, -1.4, -4.5]; // centimetres, head frame: what the eye looks at and the mouse turns about
const DISTANCE = 76; // centimetres
const FIELD = 0.42; // radians, from top to bottom
const MAX_TILT = 1.4; // radians, of the orbit
const ZOOM = [0.35, 2.2];

const VERTEX_SHADER = `#version 300 es
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec4 surface;
uniform mat4 model, view, projection;
out vec3 at;
out vec3 facing;
out vec4 colour;
void main() {
  vec4 placed = view * model * vec4(position, 1.0);
  at = placed.xyz;
  facing = mat3(view) * mat3(model) * normal;
  colour = surface;
  gl_Position = projection * placed;
}`;

// A key light above the camera's left, a cool one from the right, light from above and below, a rim; all fixed to
// the camera, so that a turned head stays legible.
const FRAGMENT_SHADER = `#version 300 es
precision highp float;
in vec3 at;
in vec3 facing;
in vec4 colour;
uniform float known;
out vec4 result;
vec3 linear(vec3 c) { return pow(c, vec3(2.2)); }
void main() {
  vec3 n = normalize(facing) * (gl_FrontFacing ? 1.0 : -1.0);
  vec3 toEye = normalize(-at);
  vec3 base = linear(colour.rgb);
  vec3 key = normalize(vec3(-0.45, 0.6, 0.75));
  vec3 fill = normalize(vec3(0.8, 0.1, 0.5));
  float wrapped = clamp((dot(n, key) + 0.25) / 1.25, 0.0, 1.0);
  vec3 light = vec3(1.0, 0.95, 0.9) * wrapped * 0.95;
  light += vec3(0.55, 0.66, 0.85) * max(dot(n, fill), 0.0) * 0.3;
  light += mix(vec3(0.10, 0.09, 0.09), vec3(0.20, 0.22, 0.26), n.y * 0.5 + 0.5);
  vec3 between = normalize(key + toEye);
  float shine = colour.a;
  float spot = pow(max(dot(n, between), 0.0), mix(12.0, 140.0, shine)) * shine * mix(0.18, 0.9, shine);
  float rim = pow(1.0 - max(dot(n, toEye), 0.0), 3.0) * 0.22;
  vec3 made = base * light + spot + rim * vec3(0.5, 0.62, 0.8) * (0.3 + base);
  made = mix(vec3(dot(made, vec3(0.3, 0.6, 0.1))) * 0.55, made, known);
  result = vec4(pow(made, vec3(1.0 / 2.2)), 1.0);
}`;

class HeadView {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {ArrayBuffer} packed as `reporting.head` packs it, inflated
   * @throws where the browser has no WebGL2
   */
  constructor(canvas, packed) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { antialias: true });
    if (!this.gl) throw new Error("this browser has no WebGL2, which the head is drawn with");
    this.#read(packed);
    this.#upload();
    this.orbit = { yaw: 0, tilt: 0, zoom: 1 };
    this.isHeld = false; // the head stays as it faces at rest, whichever way it is turned
    this.weights = new Float32Array(this.morphs.length);
    this.angles = [0, 0, 0];
    this.isKnown = true;
    this.#listen();
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(canvas);
  }

  #read(packed) {
    const { header, next } = openedBlock(packed);
    const count = header.vertices;
    this.restPositions = next(Float32Array, count * 3);
    this.restNormals = Float32Array.from(next(Int16Array, count * 3), (value) => value / 32767);
    this.surfaces = next(Uint8Array, count * 4);
    const total = header.morphs.reduce((sum, [, moved]) => sum + moved, 0);
    const offsets = next(Int16Array, total * 3);
    const turns = next(Int16Array, total * 3);
    const places = next(Uint16Array, total);
    this.indices = next(Uint16Array, header.triangles * 3);
    let at = 0;
    this.morphs = header.morphs.map(([name, moved]) => {
      const part = (array, size) => array.subarray(at * size, (at + moved) * size);
      const morph = {
        name,
        places: part(places, 1),
        offsets: Float32Array.from(part(offsets, 3), (value) => value * header.offset_unit),
        turns: Float32Array.from(part(turns, 3), (value) => value * header.normal_unit),
      };
      at += moved;
      return morph;
    });
    this.positions = this.restPositions.slice();
    this.normals = this.restNormals.slice();
  }

  #upload() {
    const gl = this.gl;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, FRAGMENT_SHADER]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    this.places = Object.fromEntries(
      ["model", "view", "projection", "known"].map((name) => [name, gl.getUniformLocation(program, name)]),
    );
    const attribute = (place, data, size, kind, normalised, use) => {
      const buffer = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, data, use);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, kind, normalised, 0, 0);
      return buffer;
    };
    this.positionBuffer = attribute(0, this.positions, 3, gl.FLOAT, false, gl.DYNAMIC_DRAW);
    this.normalBuffer = attribute(1, this.normals, 3, gl.FLOAT, false, gl.DYNAMIC_DRAW);
    attribute(2, this.surfaces, 4, gl.UNSIGNED_BYTE, true, gl.STATIC_DRAW);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, this.indices, gl.STATIC_DRAW);
    gl.enable(gl.DEPTH_TEST);
    gl.clearColor(0.051, 0.059, 0.075, 1);
  }

  /** Shows a frame of a track; where nothing is known of it the head is grey and as it was. */
  show(track, row) {
    const angles = track ? track.angles(row) : [NaN];
    const isKnown = track !== null && track.state[row] > 0 && angles.every(Number.isFinite);
    if (isKnown) {
      this.angles = angles;
      this.morphs.forEach((morph, number) => {
        const value = track.value(morph.name, row);
        this.weights[number] = Number.isFinite(value) ? value : 0;
      });
      this.#pose();
    }
    this.isKnown = isKnown;
    this.draw();
  }

  /** Adds the morph targets up. */
  #pose() {
    const { positions, normals, gl } = this;
    positions.set(this.restPositions);
    normals.set(this.restNormals);
    this.morphs.forEach(({ places, offsets, turns }, number) => {
      const weight = this.weights[number];
      if (weight === 0) return;
      for (let k = 0, from = 0; k < places.length; k++, from += 3) {
        const to = places[k] * 3;
        positions[to] += weight * offsets[from];
        positions[to + 1] += weight * offsets[from + 1];
        positions[to + 2] += weight * offsets[from + 2];
        normals[to] += weight * turns[from];
        normals[to + 1] += weight * turns[from + 1];
        normals[to + 2] += weight * turns[from + 2];
      }
    });
    gl.bindBuffer(gl.ARRAY_BUFFER, this.positionBuffer);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, positions);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.normalBuffer);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, normals);
  }

  draw() {
    const { gl, canvas } = this;
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const rotation = this.isHeld ? translation(0, 0, 0) : headRotation(this.angles);
    const [x, y, z] = CENTRE;
    const { yaw, tilt, zoom } = this.orbit;
    const around = product(rotationX(tilt), rotationY(yaw));
    const away = DISTANCE * zoom * Math.max(1, height / width);
    gl.uniformMatrix4fv(this.places.model, false, product(rotation, translation(-x, -y, -z)));
    gl.uniformMatrix4fv(this.places.view, false, product(translation(0, 0, -away), around));
    gl.uniformMatrix4fv(this.places.projection, false, perspective(FIELD, width / height, 1, 400));
    gl.uniform1f(this.places.known, this.isKnown ? 1 : 0);
    gl.drawElements(gl.TRIANGLES, this.indices.length, gl.UNSIGNED_SHORT, 0);
  }

  /** The mouse turns what is seen, the wheel brings it near, a double click puts it back. */
  #listen() {
    const { canvas, orbit } = this;
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      orbit.yaw += event.movementX * 0.008;
      orbit.tilt = Math.max(-MAX_TILT, Math.min(MAX_TILT, orbit.tilt + event.movementY * 0.008));
      this.draw();
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      orbit.zoom = Math.max(ZOOM[0], Math.min(ZOOM[1], orbit.zoom * Math.exp(event.deltaY * 0.001)));
      this.draw();
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.front());
  }

  /** Looks from the front again. */
  front() {
    Object.assign(this.orbit, { yaw: 0, tilt: 0, zoom: 1 });
    this.draw();
  }

  /** Lets go of the GPU: browsers have few contexts. */
  close() {
    this.observer.disconnect();
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
