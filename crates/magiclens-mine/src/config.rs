//! The settings of a run: one TOML file. Every threshold is here; each section's type says where its default comes from.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::clean::CleanConfig;
use crate::duplicate::DuplicateConfig;
use crate::encoder::{EncoderConfig, default_encoders};
use crate::filter::FilterConfig;
use crate::gate::GateConfig;
use crate::instruct::InstructConfig;
use crate::instruct::template::TemplateConfig;
use crate::language_model::{DescriberConfig, ModelConfig, WriterConfig};
use crate::metadata::MetadataConfig;
use crate::neighbor::NeighborConfig;
use crate::pair::PairConfig;
use magiclens_web::fetch::FetchConfig;
use magiclens_web::html::HtmlConfig;
use magiclens_web::input::InputConfig;

/// The settings of one run. A run belongs to one configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MineConfig {
    /// Seed of every choice that is not forced: wordings, demonstrations, centers.
    pub seed: u64,
    /// Reading archives, folders and tables.
    pub input: InputConfig,
    /// Parsing pages.
    pub html: HtmlConfig,
    /// Fetching images that the input lacks.
    pub fetch: FetchConfig,
    /// Pages with enough images, and limits of their numbers.
    pub group: GroupConfig,
    /// Filters of pages, in order.
    pub filter: Vec<FilterConfig>,
    /// Images that are content.
    pub clean: CleanConfig,
    /// Words about images.
    pub metadata: MetadataConfig,
    /// Encoders of images and words.
    pub encoder: Vec<EncoderConfig>,
    /// Copies across the corpus.
    pub duplicate: DuplicateConfig,
    /// Pairs of a page.
    pub pair: PairConfig,
    /// Pairs across the corpus.
    #[serde(rename = "neighbour")]
    pub neighbor: NeighborConfig,
    /// Writers of instructions.
    pub instruct: InstructConfig,
    /// The template generator.
    pub template: TemplateConfig,
    /// The gates that instructions must pass.
    pub gate: GateConfig,
    /// The model that describes images; none unless given.
    pub caption: Option<ModelUse<DescriberConfig>>,
    /// The model that writes instructions; needed if `instruct.writers` names it.
    pub writer: Option<ModelUse<WriterConfig>>,
}

/// A model behind an endpoint and what it is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelUse<T> {
    /// The endpoint.
    pub model: ModelConfig,
    /// Settings of its prompts and answers.
    #[serde(default)]
    pub ask: T,
}

/// Groups: a page's images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupConfig {
    /// Images a page needs. The paper pairs images of one page, so two.
    #[serde(rename = "min_pictures")]
    pub min_images: usize,
    /// Images of a page that are looked at, in their order: bounds the pairs, which grow with the square.
    #[serde(rename = "max_pictures")]
    pub max_images: usize,
    /// Wishes of publishers that are honored by dropping the page or image. Others are kept and recorded
    /// with each triplet.
    pub opt_outs: Vec<String>,
    /// Images of a shard: bounds the index of what its archive holds.
    #[serde(rename = "max_pictures_per_shard")]
    pub max_images_per_shard: usize,
    /// Raw pages held at once, and files of images before another page's are read, in bytes.
    pub chunk_bytes: usize,
    /// Images decoded and embedded at once. Part of the configuration because sums depend on it.
    #[serde(rename = "chunk_pictures")]
    pub chunk_images: usize,
    /// Longer side to which images are reduced before they wait for the encoders.
    pub embed_side_px: u32,
}

impl Default for GroupConfig {
    fn default() -> Self {
        let words = |list: &str| list.split(' ').map(str::to_owned).collect();
        Self {
            min_images: 2,
            max_images: 40,
            opt_outs: words("noai noimageai noimageindex noindex tdm-reservation"),
            max_images_per_shard: 1_000_000,
            chunk_bytes: 32 << 20,
            chunk_images: 64,
            embed_side_px: 512,
        }
    }
}

impl Default for MineConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            input: InputConfig::default(),
            html: HtmlConfig::default(),
            fetch: FetchConfig::default(),
            group: GroupConfig::default(),
            filter: Vec::new(),
            clean: CleanConfig::default(),
            metadata: MetadataConfig::default(),
            encoder: default_encoders(),
            duplicate: DuplicateConfig::default(),
            pair: PairConfig::default(),
            neighbor: NeighborConfig::default(),
            instruct: InstructConfig::default(),
            template: TemplateConfig::default(),
            gate: GateConfig::default(),
            caption: None,
            writer: None,
        }
    }
}

impl MineConfig {
    /// Reads and checks a TOML file. Fields that it lacks have their defaults.
    ///
    /// # Errors
    /// A missing file, an unknown field, or settings that contradict each other.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs_err::read_to_string(path)?;
        let config: Self =
            toml::from_str(&text).with_context(|| format!("`{}` is no configuration of a run", path.display()))?;
        config.check().with_context(|| format!("`{}`", path.display()))?;
        Ok(config)
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first contradiction, with the way out.
    pub fn check(&self) -> anyhow::Result<()> {
        self.check_encoders()?;
        for (field, value) in [
            ("duplicate.buckets", self.duplicate.buckets),
            ("group.chunk_pictures", self.group.chunk_images),
            ("group.chunk_bytes", self.group.chunk_bytes),
            ("neighbour.cluster_size", self.neighbor.cluster_size),
            ("neighbour.clusters_per_picture", self.neighbor.clusters_per_image),
        ] {
            ensure!(value > 0, "`{field}` must be at least 1");
        }
        ensure!(
            self.group.min_images >= 2,
            "`group.min_pictures` is {}, but a pair needs 2",
            self.group.min_images
        );
        if self.fetch.allowed {
            self.fetch.check()?;
        }
        ensure!(
            self.writer.is_some() || !self.instruct.asks_model(),
            "`instruct.writers` asks a model, but there is no `[writer.model]`\nhint: see docs/language-models.md for recipes"
        );
        Ok(())
    }

    fn check_encoders(&self) -> anyhow::Result<()> {
        let is_known = |name: &String| self.encoder.iter().any(|encoder| encoder.name == *name);
        let (image, text) = (&self.pair.image_encoder, &self.pair.text_encoder);
        let pair = [("pair.image_encoder", image), ("pair.text_encoder", text)];
        let bands = self.neighbor.encoders.iter().filter(|_| self.neighbor.enabled);
        let bands = bands.map(|band| ("neighbour.encoders", &band.encoder));
        for (field, name) in pair.into_iter().chain(bands) {
            ensure!(
                is_known(name),
                "`{field}` is `{name}`, which is no `[[encoder]]`\nhint: name one of {:?}",
                self.encoder.iter().map(|encoder| &encoder.name).collect::<Vec<_>>()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MineConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        fs_err::write(&path, text).unwrap();
        MineConfig::read(&path).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn an_empty_file_is_the_default_and_comes_back() {
        let config = read("").unwrap();
        assert_eq!(config, MineConfig::default());
        assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn the_committed_file_says_every_default() {
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/mine.toml");
        assert_eq!(MineConfig::read(Path::new(committed)).unwrap(), MineConfig::default());
        // Every field is named in it: a missing one would have its default too.
        let table = |text: &str| text.parse::<toml::Table>().unwrap();
        let written = table(&fs_err::read_to_string(committed).unwrap());
        let all = table(&toml::to_string(&MineConfig::default()).unwrap());
        for (section, fields) in &all {
            for field in fields.as_table().into_iter().flat_map(toml::Table::keys) {
                assert!(
                    written[section].get(field).is_some(),
                    "configs/mine.toml lacks `{section}.{field}`"
                );
            }
        }
    }

    #[test]
    fn unknown_fields_and_contradictions_are_refused() {
        assert!(read("sed = 1").unwrap_err().contains("sed"));
        assert!(read("[clean]\nmin_side = 1").unwrap_err().contains("min_side"));
        assert!(
            read("[pair]\nimage_encoder = \"clip\"")
                .unwrap_err()
                .contains("no `[[encoder]]`")
        );
        assert!(
            read("[duplicate]\nbuckets = 0")
                .unwrap_err()
                .contains("duplicate.buckets")
        );
        assert!(
            read("[instruct]\nwriters = [\"model\"]")
                .unwrap_err()
                .contains("[writer.model]")
        );
    }
}
