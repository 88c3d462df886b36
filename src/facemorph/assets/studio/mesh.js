// A mesh in 3-D: turned by the pointer, drawn in several ways.

import * as THREE from './vendor/three.module.min.js';
import { OrbitControls } from './vendor/OrbitControls.js';

const COARSE = 0.5;  // pixels of a picture where there is no GPU
const REST = 300;  // milliseconds after which all pixels are drawn
const PAUSE = 150;  // milliseconds between two meshes there, while a hand moves

const LIGHTS = { front: [0, 0.2, 1], left: [-0.8, 0.3, 0.5], right: [0.8, 0.3, 0.5], top: [0, 0.9, 0.4], below: [0, -0.8, 0.5] };
export const LOOKS = [['texture', 'Texture'], ['plain', 'Plain'], ['wireframe', 'Wireframe'], ['normals', 'Normals']];
export const LIGHT_NAMES = Object.keys(LIGHTS);

export class MeshViewer {
  // canvas: where it is drawn; distance: of the eye, in units of the mesh.
  constructor(canvas, distance = 620) {
    this.canvas = canvas; this.frames = 0;
    this.ratio = software() ? COARSE : Math.min(window.devicePixelRatio, 2);
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: this.ratio >= 1, alpha: true, preserveDrawingBuffer: true });
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(28, 1, distance / 20, distance * 20);
    this.home = distance;
    this.lamp = new THREE.DirectionalLight(0xffffff, 2.2);
    this.scene.add(this.lamp, new THREE.AmbientLight(0xffffff, 1.1));
    this.materials = {
      texture: new THREE.MeshStandardMaterial({ roughness: 0.8, metalness: 0, side: THREE.DoubleSide }),
      plain: new THREE.MeshStandardMaterial({ color: 0xb9bec6, roughness: 0.7, side: THREE.DoubleSide }),
      colours: new THREE.MeshStandardMaterial({ vertexColors: true, roughness: 0.7, side: THREE.DoubleSide }),
      wireframe: new THREE.MeshBasicMaterial({ color: 0x4d9de0, wireframe: true }),
      normals: new THREE.MeshNormalMaterial({ side: THREE.DoubleSide }),
    };
    this.geometry = new THREE.BufferGeometry();
    this.mesh = new THREE.Mesh(this.geometry, this.materials.plain);
    this.mesh.frustumCulled = false;
    this.scene.add(this.mesh);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enablePan = false;
    this.controls.addEventListener('change', () => this.draw());
    this.light('front');
    this.reset();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  reset() {
    this.camera.position.set(0, 0, this.home);
    this.controls.target.set(0, 0, 0);
    this.controls.update();
    this.draw();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setPixelRatio(this.ratio);
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  // Triangles, and texture coordinates where there are any.
  topology(faces, uv = null) {
    const old = this.geometry;
    this.geometry = this.mesh.geometry = new THREE.BufferGeometry();
    old.dispose();
    this.geometry.setIndex(new THREE.BufferAttribute(faces, 1));
    if (uv) this.geometry.setAttribute('uv', new THREE.BufferAttribute(uv, 2));
    this.places = null;
  }

  // Places and normals, six numbers for each vertex.
  move(values) {
    if (!this.places || this.places.array.length !== values.length) {
      this.places = new THREE.InterleavedBuffer(values, 6);
      this.places.setUsage(THREE.DynamicDrawUsage);
      this.geometry.setAttribute('position', new THREE.InterleavedBufferAttribute(this.places, 3, 0));
      this.geometry.setAttribute('normal', new THREE.InterleavedBufferAttribute(this.places, 3, 3));
    } else {
      this.places.array.set(values);
      this.places.needsUpdate = true;
    }
    this.draw();
  }

  // Colours of the vertices, three bytes each, for the look 'colours'.
  colours(bytes) {
    this.geometry.setAttribute('color', new THREE.BufferAttribute(bytes, 3, true));
    this.draw();
  }

  async texture(bytes) {
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/jpeg' }), { imageOrientation: 'flipY' });
    const texture = new THREE.Texture(bitmap);
    texture.colorSpace = THREE.SRGBColorSpace;
    texture.flipY = false;
    texture.needsUpdate = true;
    this.materials.texture.map?.dispose();
    this.materials.texture.map = texture;
    this.materials.texture.needsUpdate = true;
    this.draw();
  }

  render(ratio) {
    if (this.renderer.getPixelRatio() !== ratio) this.renderer.setPixelRatio(ratio);
    this.renderer.render(this.scene, this.camera);
  }

  // Whether a mesh may be asked for while a hand moves: without a GPU not each time.
  isDue(now) {
    if (this.ratio < 1 && now - (this.last ?? -PAUSE) < PAUSE) return false;
    this.last = now;
    return true;
  }

  look(name) { this.mesh.material = this.materials[name]; this.draw(); }

  light(name) { this.lamp.position.set(...LIGHTS[name]); this.draw(); }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (!this.canvas.clientWidth) return;
      this.render(this.ratio);
      this.frames++;
      clearTimeout(this.rest);
      if (this.ratio < 1) this.rest = setTimeout(() => this.render(1), REST);
    });
  }
}

// Whether the browser draws 3-D by its processor.
function software() {
  const gl = document.createElement('canvas').getContext('webgl2');
  const about = gl?.getExtension('WEBGL_debug_renderer_info');
  const found = about && /swiftshader|llvmpipe|software|basic render/i.test(gl.getParameter(about.UNMASKED_RENDERER_WEBGL));
  gl?.getExtension('WEBGL_lose_context')?.loseContext();
  return Boolean(found);
}
