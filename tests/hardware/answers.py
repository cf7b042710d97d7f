"""What operating systems answer on machines that the tests do not run on: abridged, by hand, in their formats."""

AMD_EPYC = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC 9654 96-Core Processor
cpu cores\t: 2
flags\t\t: fpu vme sse sse2 ht nx fma sse4_1 sse4_2 avx f16c avx2 avx512f avx512dq avx512_bf16 avx512vbmi avx512_vnni

processor\t: 1
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9654 96-Core Processor
flags\t\t: fpu vme sse sse2 ht nx fma sse4_1 sse4_2 avx f16c avx2 avx512f avx512dq avx512_bf16 avx512vbmi avx512_vnni
"""

SAPPHIRE_RAPIDS = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu vme sse2 fma avx f16c avx2 avx512f avx512dq avx_vnni avx512_bf16 avx512_vnni amx_bf16 \
avx512_fp16 amx_tile amx_int8
"""

# A hybrid desktop under a kernel that lists each core's own flags: only the first has AVX-512.
HYBRID = """\
processor\t: 0
model name\t: 12th Gen Intel(R) Core(TM) i9-12900K
flags\t\t: fma avx avx2 avx_vnni avx512f

processor\t: 1
model name\t: 12th Gen Intel(R) Core(TM) i9-12900K
flags\t\t: fma avx avx2 avx_vnni
"""

GRACE = """\
processor\t: 0
BogoMIPS\t: 2000.00
Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm asimddp sve sve2 i8mm bf16 dgh
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd4f
CPU revision\t: 0
"""

GB10 = """\
processor\t: 0
Features\t: fp asimd asimdhp asimddp sve i8mm bf16 sve2
CPU implementer\t: 0x41
CPU part\t: 0xd87

processor\t: 1
Features\t: fp asimd asimdhp asimddp sve i8mm bf16 sve2
CPU implementer\t: 0x41
CPU part\t: 0xd85
"""

JETSON_ORIN = """\
processor\t: 0
model name\t: ARMv8 Processor rev 1 (v8l)
BogoMIPS\t: 62.50
Features\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp uscat ilrcpc flagm
CPU implementer\t: 0x41
CPU part\t: 0xd42
"""

APPLE_M2_SYSCTL = """\
hw.ncpu: 12
hw.l2cachesize: 4194304
hw.optional.neon: 1
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_I8MM: 1
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_SME: 0
machdep.cpu.brand_string: Apple M2 Max
"""

INTEL_MAC_SYSCTL = """\
hw.optional.avx2_0: 1
machdep.cpu.brand_string: Intel(R) Core(TM) i9-9880H CPU @ 2.30GHz
machdep.cpu.features: FPU VME SSE FMA AVX1.0 F16C
machdep.cpu.leaf7_features: RDWRFSGS AVX2 SMEP
"""

TORCH_CUDA = """\
from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip', 'rocm', 'xpu']
__version__ = '2.14.1+cu130'
debug = False
cuda: Optional[str] = '13.0'
git_version = '5c4886908584029761b579af026dcfb627c84070'
hip: Optional[str] = None
"""

TORCH_CPU = TORCH_CUDA.replace("'13.0'", "None").replace("+cu130", "+cpu")
TORCH_ROCM = TORCH_CUDA.replace("'13.0'", "None").replace("+cu130", "+rocm6.4")
TORCHVISION = "__version__ = '0.24.0+cu126'\ngit_version = '1f1a920d'\n"
TENSORFLOW = (
    "build_info = collections.OrderedDict({'cpu_compiler': 'clang', 'cuda_version': '12.5.1', 'cudnn_version': '9'})"
)
