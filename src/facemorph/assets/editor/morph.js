// The morph by WebGL2: both maps are evaluated at the vertices of a fine mesh (16 texel fetches each), the
// photographs are sampled in every pixel.

const CELLS = 64;                  // of the mesh along each side: a vertex every 8 pixels of 512
const COARSE = 0.25;               // resolution while a point moves, where there is no GPU

const VERTEX = `#version 300 es
precision highp float;
precision highp sampler2D;
uniform sampler2D coefficients;    // of a cubic B-spline: displacement x, y to A and x, y to B
uniform vec2 halfSize;             // of the frame in field coordinates
uniform vec2 first;                // field coordinates of the first coefficient
uniform float spacing;
uniform int cells;
out vec2 inFrame, inA, inB;
vec4 basis(float f) {
  float g = 1. - f;
  return vec4(g * g * g, 4. - 6. * f * f + 3. * f * f * f, 4. - 6. * g * g + 3. * g * g * g, f * f * f) / 6.;
}
void main() {
  inFrame = vec2(gl_VertexID % (cells + 1), gl_VertexID / (cells + 1)) / float(cells);   // y down
  vec2 here = (inFrame * 2. - 1.) * halfSize;
  vec2 place = (here - first) / spacing;
  vec2 low = clamp(floor(place), vec2(1.), vec2(textureSize(coefficients, 0) - 3));
  vec4 weightX = basis(place.x - low.x), weightY = basis(place.y - low.y), shift = vec4(0.);
  for (int j = 0; j < 4; j++)
    for (int i = 0; i < 4; i++)
      shift += weightX[i] * weightY[j] * texelFetch(coefficients, ivec2(low) + ivec2(i - 1, j - 1), 0);
  inA = ((here + shift.xy) / halfSize + 1.) / 2.;
  inB = ((here + shift.zw) / halfSize + 1.) / 2.;
  gl_Position = vec4(inFrame.x * 2. - 1., 1. - inFrame.y * 2., 0., 1.);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2D;
uniform sampler2D imageA, imageB, mask;
uniform float time;
uniform bool faceOnly;
in vec2 inFrame, inA, inB;
out vec4 colour;
void main() {
  float share = faceOnly ? time * texture(mask, inFrame).r : time;
  colour = vec4(mix(texture(imageA, inA).rgb, texture(imageB, inB).rgb, share), 1.);
}`;

export class MorphView {
  // Throws where there is no WebGL2.
  constructor(canvas, images, frame) {
    const gl = this.gl = canvas.getContext('webgl2', { alpha: false, antialias: false });
    if (!gl) throw Error('no WebGL2');
    this.canvas = canvas;
    this.frame = frame;
    const about = gl.getExtension('WEBGL_debug_renderer_info');
    this.coarse = about && /swiftshader|llvmpipe|software|basic render/i.test(gl.getParameter(about.UNMASKED_RENDERER_WEBGL)) ? COARSE : 1;
    const program = this.build();
    gl.useProgram(program);
    this.at = name => gl.getUniformLocation(program, name);
    ['imageA', 'imageB', 'coefficients', 'mask'].forEach((name, unit) => gl.uniform1i(this.at(name), unit));
    const extent = Math.max(...frame);
    gl.uniform2f(this.at('halfSize'), frame[0] / extent, frame[1] / extent);
    gl.uniform1i(this.at('cells'), CELLS);
    this.places = Object.fromEntries(['first', 'spacing', 'time', 'faceOnly'].map(name => [name, this.at(name)]));
    images.forEach((image, unit) => {
      this.texture(unit, gl.LINEAR_MIPMAP_LINEAR, gl.LINEAR);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
      gl.generateMipmap(gl.TEXTURE_2D);
    });
    this.texture(2, gl.NEAREST, gl.NEAREST);
    this.texture(3, gl.LINEAR, gl.LINEAR);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, 1, 1, 0, gl.RED, gl.UNSIGNED_BYTE, new Uint8Array([255]));
    this.mesh();
  }

  build() {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw Error(gl.getProgramInfoLog(program));
    return program;
  }

  texture(unit, smaller, larger) {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, smaller);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, larger);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
  }

  // Two triangles for each cell.
  mesh() {
    const gl = this.gl, across = CELLS + 1, numbers = [];
    for (let y = 0; y < CELLS; y++) {
      for (let x = 0; x < CELLS; x++) {
        const corner = y * across + x;
        numbers.push(corner, corner + 1, corner + across, corner + 1, corner + across + 1, corner + across);
      }
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, new Uint16Array(numbers), gl.STATIC_DRAW);
    this.count = numbers.length;
  }

  // `moving`: a picture of a moment, which may be coarse.
  draw(lattice, time, faceOnly, moving = false) {
    const gl = this.gl, { canvas } = this, [width, height] = this.frame.map(side => Math.round(side * (moving ? this.coarse : 1)));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    gl.activeTexture(gl.TEXTURE2);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, lattice.columns, lattice.rows, 0, gl.RGBA, gl.FLOAT, lattice.coefficients);
    if (lattice.mask) {
      gl.activeTexture(gl.TEXTURE3);
      const [height, width] = lattice.mask.size;
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, width, height, 0, gl.RED, gl.UNSIGNED_BYTE, lattice.mask.values);
    }
    gl.uniform2f(this.places.first, ...lattice.first);
    gl.uniform1f(this.places.spacing, lattice.spacing);
    gl.uniform1f(this.places.time, time);
    gl.uniform1i(this.places.faceOnly, faceOnly ? 1 : 0);
    gl.drawElements(gl.TRIANGLES, this.count, gl.UNSIGNED_SHORT, 0);
    this.last = [lattice, time, faceOnly, moving];
  }

  // RGBA of the last picture, row by row from the top; drawn anew, because a shown buffer is not kept.
  pixels() {
    this.draw(...this.last);
    const gl = this.gl, { width, height } = this.canvas, flipped = new Uint8Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, flipped);
    const upright = new Uint8Array(flipped.length), row = width * 4;
    for (let y = 0; y < height; y++) upright.set(flipped.subarray(y * row, (y + 1) * row), (height - 1 - y) * row);
    return upright;
  }
}
