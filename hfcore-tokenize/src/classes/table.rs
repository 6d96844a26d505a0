//! The classes by name, and by the model types that have them.

use super::class::Class;
use super::{byte_level, marian, metaspace, python, unigram, word_piece, words};

/// `TokenizersBackend`: takes a tokenizer.json as it is.
pub(super) const GENERAL: Class = Class::as_file("TokenizersBackend");

/// Remedy for classes that call libraries of other languages.
const LIBRARY: &str = "it splits text with a Python library that hfcore does not have; use a tokenizer of another \
    class, or train one with the tokenizers library, which writes a tokenizer.json";
/// Remedy for classes that are written in Python.
const PYTHON: &str =
    "it is written in Python and has no tokenizer.json; hfcore does not have it yet";

/// Every class. An entry is all that a new one needs.
static CLASSES: &[Class] = &[
    GENERAL,
    // Around WordPiece.
    word_piece::BERT,
    Class::inherited("ConvBertTokenizer", &word_piece::BERT),
    word_piece::DISTILBERT,
    word_piece::DPR.named("DPRContextEncoderTokenizer"),
    word_piece::DPR.named("DPRQuestionEncoderTokenizer"),
    word_piece::DPR.named("DPRReaderTokenizer"),
    Class::inherited("DPRContextEncoderTokenizerFast", &word_piece::BERT),
    Class::inherited("DPRQuestionEncoderTokenizerFast", &word_piece::BERT),
    Class::inherited("DPRReaderTokenizerFast", &word_piece::BERT),
    word_piece::FUNNEL,
    word_piece::LAYOUT_LM_V2,
    word_piece::MPNET,
    word_piece::SPLINTER,
    // Around a byte-level BPE.
    byte_level::BLENDERBOT,
    byte_level::CODE_GEN,
    byte_level::COHERE,
    byte_level::DEBERTA,
    byte_level::GPT2,
    byte_level::GPT_NEOX,
    byte_level::LAYOUT_LM_V3,
    byte_level::LUKE,
    byte_level::MARKUP_LM,
    byte_level::NOUGAT,
    byte_level::QWEN2,
    byte_level::QWEN3_5,
    byte_level::ROBERTA,
    byte_level::WHISPER,
    // Around a BPE of words.
    words::CLIP,
    words::ESMC,
    words::HERBERT,
    words::OPENAI_GPT,
    // Around a BPE of words that begin with a mark.
    metaspace::CODE_LLAMA,
    metaspace::GEMMA,
    metaspace::LLAMA,
    metaspace::NLLB,
    metaspace::REFORMER,
    metaspace::SEAMLESS_M4T,
    metaspace::SIGLIP2,
    metaspace::TIPS_V2,
    // Around a unigram model.
    unigram::ALBERT,
    unigram::BARTHEZ,
    unigram::BIG_BIRD,
    unigram::CAMEMBERT,
    unigram::DEBERTA_V2,
    unigram::FNET,
    unigram::LASR,
    unigram::LAYOUT_XLM,
    unigram::MBART,
    unigram::MBART50,
    unigram::MLUKE,
    unigram::PEGASUS,
    unigram::REM_BERT,
    unigram::T5,
    unigram::UDOP,
    unigram::VIDEO_PRISM,
    unigram::XGLM,
    unigram::XLM_ROBERTA,
    unigram::XLNET,
    // Around the sentencepiece library.
    marian::MARIAN,
    // Taken as they are.
    words::PARAKEET,
    Class::as_file("PythonBackend"),
    // Not here.
    Class::refused("BartphoTokenizer", PYTHON),
    Class::refused("BertGenerationTokenizer", PYTHON),
    Class::refused("BertJapaneseTokenizer", LIBRARY),
    Class::refused("BertweetTokenizer", PYTHON),
    Class::refused("BioGptTokenizer", LIBRARY),
    Class::refused("BlenderbotSmallTokenizer", PYTHON),
    python::BYT5,
    Class::refused("CanineTokenizer", PYTHON),
    Class::refused("ClvpTokenizer", PYTHON),
    Class::refused("CpmAntTokenizer", LIBRARY),
    Class::refused("CpmTokenizer", LIBRARY),
    Class::refused("CTRLTokenizer", PYTHON),
    Class::refused("DiaTokenizer", PYTHON),
    python::ESM,
    Class::refused("FastSpeech2ConformerTokenizer", LIBRARY),
    Class::refused("FlaubertTokenizer", LIBRARY),
    Class::refused("FSMTTokenizer", LIBRARY),
    Class::refused("GPTNeoXJapaneseTokenizer", PYTHON),
    Class::refused("GPTSw3Tokenizer", PYTHON),
    Class::refused("M2M100Tokenizer", PYTHON),
    Class::refused("MgpstrTokenizer", PYTHON),
    Class::refused("MyT5Tokenizer", PYTHON),
    Class::refused("PerceiverTokenizer", PYTHON),
    Class::refused("PhobertTokenizer", PYTHON),
    Class::refused("PLBartTokenizer", PYTHON),
    Class::refused("Pop2PianoTokenizer", "its tokens are notes, not text"),
    Class::refused("ProphetNetTokenizer", PYTHON),
    Class::refused(
        "RagTokenizer",
        "it is two tokenizers; load the folders question_encoder_tokenizer and \
        generator_tokenizer by themselves",
    ),
    Class::refused("RoCBertTokenizer", PYTHON),
    Class::refused("RoFormerTokenizer", LIBRARY),
    Class::refused("SiglipTokenizer", PYTHON),
    Class::refused("Speech2TextTokenizer", PYTHON),
    Class::refused("SpeechT5Tokenizer", PYTHON),
    Class::refused("TapasTokenizer", "it takes tables, not text"),
    Class::refused("VitsTokenizer", PYTHON),
    python::WAV2VEC2,
    Class::refused("Wav2Vec2PhonemeCTCTokenizer", LIBRARY),
    Class::refused("XLMTokenizer", LIBRARY),
];

/// Other names of classes.
const ALIASES: &[(&str, &str)] = &[
    ("BartTokenizer", "RobertaTokenizer"),
    ("BloomTokenizer", "TokenizersBackend"),
    ("ElectraTokenizer", "BertTokenizer"),
    ("LayoutLMTokenizer", "BertTokenizer"),
    ("LEDTokenizer", "RobertaTokenizer"),
    ("LongformerTokenizer", "RobertaTokenizer"),
    ("LxmertTokenizer", "BertTokenizer"),
    ("MistralCommonBackend", "TokenizersBackend"),
    ("MobileBertTokenizer", "BertTokenizer"),
    ("MvpTokenizer", "RobertaTokenizer"),
    ("Phi3Tokenizer", "LlamaTokenizer"),
    ("PreTrainedTokenizer", "PythonBackend"),
    ("PreTrainedTokenizerFast", "TokenizersBackend"),
    ("SqueezeBertTokenizer", "BertTokenizer"),
];

/// The class of a name; `…Fast` is the same class, where it is none of its own.
pub(super) fn find(name: &str) -> Option<&'static Class> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name, |(_, name)| name);
    CLASSES
        .iter()
        .find(|class| class.name == name)
        .or_else(|| find(name.strip_suffix("Fast")?))
}

/// The name of a model type's class.
pub(super) fn of_model_type(model_type: &str) -> Option<&'static str> {
    let found = MODEL_TYPES
        .iter()
        .find(|(_, types)| types.contains(&model_type));
    found.map(|(class, _)| *class)
}

/// Whether repositories of this type name a wrong class.
pub(super) fn is_wrongly_named(model_type: &str) -> bool {
    WRONGLY_NAMED.contains(&model_type)
}

/// Whether transformers has a configuration of this type, by which it finds the class.
pub(super) fn has_configuration(model_type: &str) -> bool {
    !WITHOUT_CONFIGURATION.contains(&model_type)
}

/// Classes by the `model_type`s that have them (`TOKENIZER_MAPPING_NAMES`).
#[rustfmt::skip]
const MODEL_TYPES: &[(&str, &[&str])] = &[
    ("AlbertTokenizer", &["albert", "yoso"]),
    ("BarthezTokenizer", &["barthez"]),
    ("BartphoTokenizer", &["bartpho"]),
    ("BartTokenizer", &["florence2"]),
    ("BertGenerationTokenizer", &["bert-generation"]),
    ("BertJapaneseTokenizer", &["bert-japanese"]),
    ("BertTokenizer", &[
        "align", "bark", "bert", "blip", "bros", "chinese_clip", "convbert", "distilbert", "electra", "ernie",
        "flava", "git", "grounding-dino", "layoutlm", "megatron-bert", "mm-grounding-dino", "nezha",
        "nomic_bert", "qdqbert", "realm", "retribert", "squeezebert", "tvp", "vilt", "visual_bert",
    ]),
    ("BertweetTokenizer", &["bertweet"]),
    ("BigBirdTokenizer", &["big_bird"]),
    ("BioGptTokenizer", &["biogpt"]),
    ("BlenderbotSmallTokenizer", &["blenderbot-small"]),
    ("BlenderbotTokenizer", &["blenderbot"]),
    ("ByT5Tokenizer", &["byt5"]),
    ("CamembertTokenizer", &["camembert"]),
    ("CanineTokenizer", &["canine"]),
    ("CLIPTokenizer", &[
        "aimv2", "clip", "clipseg", "groupvit", "omdet-turbo", "oneformer", "owlv2", "owlvit", "sam3",
        "sam3_video", "xclip",
    ]),
    ("ClvpTokenizer", &["clvp"]),
    ("CodeLlamaTokenizer", &["code_llama"]),
    ("CohereTokenizer", &["aya_vision", "cohere", "cohere2"]),
    ("CpmAntTokenizer", &["cpmant"]),
    ("CpmTokenizer", &["cpm"]),
    ("CTRLTokenizer", &["ctrl"]),
    ("DebertaTokenizer", &["deberta"]),
    ("DebertaV2Tokenizer", &["deberta-v2"]),
    ("DiaTokenizer", &["dia"]),
    ("DPRQuestionEncoderTokenizer", &["dpr"]),
    ("EsmcTokenizer", &["esmc", "esmfold2"]),
    ("EsmTokenizer", &["esm"]),
    ("FlaubertTokenizer", &["flaubert"]),
    ("FNetTokenizer", &["fnet"]),
    ("FSMTTokenizer", &["fsmt"]),
    ("FunnelTokenizer", &["funnel"]),
    ("GemmaTokenizer", &[
        "diffusion_gemma", "gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text",
        "recurrent_gemma", "shieldgemma2", "t5gemma", "zaya",
    ]),
    ("GPT2Tokenizer", &[
        "blip-2", "codegen", "dbrx", "emu3", "gpt2", "gpt_neo", "gptj", "hyperclovax_vision_v2",
        "instructblip", "instructblipvideo", "jais2", "opt", "phi", "starcoder2",
    ]),
    ("GPTNeoXJapaneseTokenizer", &["gpt_neox_japanese"]),
    ("GPTNeoXTokenizer", &[
        "falcon_mamba", "gpt_neox", "mamba", "mamba2", "mpt", "olmo", "olmoe", "rwkv", "xlstm",
    ]),
    ("GPTSw3Tokenizer", &["gpt-sw3"]),
    ("HerbertTokenizer", &["herbert"]),
    ("LasrTokenizer", &["lasr_ctc", "lasr_encoder"]),
    ("LayoutLMv2Tokenizer", &["layoutlmv2"]),
    ("LayoutLMv3Tokenizer", &["layoutlmv3"]),
    ("LayoutXLMTokenizer", &["layoutxlm"]),
    ("LEDTokenizer", &["led"]),
    ("LlamaTokenizer", &["idefics", "idefics2"]),
    ("LukeTokenizer", &["luke"]),
    ("LxmertTokenizer", &["lxmert"]),
    ("M2M100Tokenizer", &["m2m_100"]),
    ("MarianTokenizer", &["marian"]),
    ("MarkupLMTokenizer", &["markuplm"]),
    ("MBart50Tokenizer", &["mbart50"]),
    ("MBartTokenizer", &["mbart"]),
    ("MgpstrTokenizer", &["mgp-str"]),
    ("MistralCommonBackend", &[
        "ministral", "ministral3", "mistral", "mistral3", "mistral_large4", "mixtral", "pixtral", "voxtral",
        "voxtral_realtime",
    ]),
    ("MLukeTokenizer", &["mluke"]),
    ("MobileBertTokenizer", &["mobilebert"]),
    ("MPNetTokenizer", &["mpnet"]),
    ("MvpTokenizer", &["mvp"]),
    ("MyT5Tokenizer", &["myt5"]),
    ("NllbTokenizer", &["nllb", "nllb-moe"]),
    ("NougatTokenizer", &["nougat", "pp_formulanet"]),
    ("OpenAIGPTTokenizer", &["openai-gpt"]),
    ("ParakeetTokenizer", &[
        "granite_speech5_ctc", "nemotron3_5_asr", "nemotron_asr_streaming", "parakeet_ctc", "parakeet_rnnt",
        "parakeet_tdt",
    ]),
    ("PegasusTokenizer", &["pegasus"]),
    ("PerceiverTokenizer", &["perceiver"]),
    ("PhobertTokenizer", &["phobert"]),
    ("PLBartTokenizer", &["plbart"]),
    ("ProphetNetTokenizer", &["prophetnet"]),
    ("Qwen2Tokenizer", &[
        "audioflamingo3", "colqwen2", "cosmos3_omni", "dots3_note", "fun_asr_nano", "hunyuan_vl", "internvl",
        "moss_transcribe_diarize", "ovis2", "qianfan_ocr", "qwen2", "qwen2_5_omni", "qwen2_5_vl",
        "qwen2_audio", "qwen2_moe", "qwen2_vl", "qwen3", "qwen3_asr", "qwen3_moe", "qwen3_next",
        "qwen3_omni_moe", "qwen3_vl", "qwen3_vl_moe",
    ]),
    ("Qwen2TokenizerFast", &["lighton_ocr", "vibevoice"]),
    ("Qwen3_5Tokenizer", &["qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text", "qwen4_exp"]),
    ("RagTokenizer", &["rag"]),
    ("ReformerTokenizer", &["reformer"]),
    ("RemBertTokenizer", &["rembert"]),
    ("RobertaTokenizer", &[
        "bart", "bridgetower", "clap", "data2vec-text", "ibert", "lilt", "longformer", "mega", "mra",
        "roberta", "roberta-prelayernorm",
    ]),
    ("RoCBertTokenizer", &["roc_bert"]),
    ("RoFormerTokenizer", &["roformer"]),
    ("SeamlessM4TTokenizer", &["seamless_m4t", "seamless_m4t_v2"]),
    ("Siglip2Tokenizer", &["siglip2"]),
    ("SiglipTokenizer", &["siglip"]),
    ("Speech2TextTokenizer", &["speech_to_text"]),
    ("SpeechT5Tokenizer", &["speecht5"]),
    ("SplinterTokenizer", &["splinter"]),
    ("T5Tokenizer", &["mt5", "musicgen", "musicgen_melody", "switch_transformers", "t5"]),
    ("TapasTokenizer", &["tapas"]),
    ("Tipsv2Tokenizer", &["tipsv2"]),
    ("TokenizersBackend", &[
        "EvollaModel", "arctic", "aria", "beam", "bigbird_pegasus", "camembertv2-base", "canary", "chatlm",
        "cohere_asr", "ernie4_5", "ernie4_5_moe", "flex_olmo", "fuyu", "glm", "glm4", "glm4_moe",
        "glm4_moe_lite", "glm4v", "glm4v_moe", "glm_image", "glmasr", "got_ocr2", "gpt_bigcode",
        "gradium_phonon_tts", "granite", "granitemoe", "granitemoehybrid", "granitemoeshared", "h2ovl_chat",
        "hyperclovax", "hyperclovax_vlm", "internlm2", "internlm3", "iquestcoder", "jamba", "kimi_k25",
        "kimi_linear", "kosmos-2", "llava", "llava_next", "mimo_v2_flash", "minicpm3", "minicpm_ocr",
        "minicpmv", "minicpmv4_6", "minicpmv4_7", "minimax_m2", "modernbert", "modernbert-decoder", "molmo",
        "molmo2", "nemo_speechlm", "nemotron", "nvfp4", "nystromformer", "olmo2", "olmo3", "olmo_hybrid",
        "opencua", "openvla", "paddleocr_vl", "pegasus_x", "persimmon", "phi3", "phi3_v", "phimoe",
        "pix2struct", "pocket_tts", "smolvlm", "stablelm", "step3_vl", "umt5", "vipllava", "xlm-roberta-xl",
    ]),
    ("UdopTokenizer", &["udop"]),
    ("VideoPrismTokenizer", &["videoprism"]),
    ("VitsTokenizer", &["vits"]),
    ("Wav2Vec2CTCTokenizer", &[
        "data2vec-audio", "hubert", "unispeech", "unispeech-sat", "wav2vec2", "wav2vec2-bert",
        "wav2vec2-conformer",
    ]),
    ("Wav2Vec2PhonemeCTCTokenizer", &["wav2vec2_phoneme"]),
    ("WhisperTokenizer", &["whisper"]),
    ("XGLMTokenizer", &["xglm"]),
    ("XLMRobertaTokenizer", &["gte", "jina_embeddings_v3", "metaclip_2", "trocr", "xlm-roberta", "xmod"]),
    ("XLMTokenizer", &["xlm"]),
    ("XLNetTokenizer", &["xlnet"]),
];

/// Model types whose repositories name a wrong class (`MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS`).
#[rustfmt::skip]
const WRONGLY_NAMED: &[&str] = &[
    "arctic", "camembertv2-base", "chatlm", "cohere_asr", "ernie4_5", "ernie4_5_moe", "fuyu", "h2ovl_chat",
    "hyperclovax", "hyperclovax_vision_v2", "hyperclovax_vlm", "internlm2", "internlm3", "iquestcoder",
    "jamba", "llava", "llava_next", "minicpm3", "minicpmv", "minimax_m2", "modernbert", "modernbert-decoder",
    "molmo", "molmo2", "nemotron", "nvfp4", "opencua", "openvla", "paddleocr_vl", "phi3", "phi3_v", "phimoe",
    "qwen2", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen4_exp", "siglip2", "smolvlm", "step3_vl",
    "vipllava",
];

/// Model types that have a class but no configuration: without a `tokenizer_class` the general class is taken.
#[rustfmt::skip]
const WITHOUT_CONFIGURATION: &[&str] = &[
    "barthez", "bartpho", "bert-japanese", "bertweet", "byt5", "code_llama", "cpm", "herbert", "mbart50",
    "mega", "mluke", "myt5", "nezha", "nllb", "phobert", "qdqbert", "realm", "retribert", "wav2vec2_phoneme",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_type_has_a_class() {
        for (class, types) in MODEL_TYPES {
            assert!(find(class).is_some(), "{class} of {types:?}");
        }
        assert_eq!(find("LlamaTokenizerFast").unwrap().name, "LlamaTokenizer");
        assert_eq!(
            find("PreTrainedTokenizerFast").unwrap().name,
            "TokenizersBackend"
        );
        assert_eq!(
            find("SqueezeBertTokenizerFast").unwrap().name,
            "BertTokenizer"
        );
        assert!(find("NoSuchTokenizer").is_none());
    }
}
